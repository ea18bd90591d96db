//! The table `[dispatch]` of a workflow file: where its orders need a courier, and which statuses dispatch enters as the job goes on.

use std::collections::BTreeSet;

use comanda_proto::v1::{Phase, Trigger, Workflow, WorkflowDispatch};
use serde::Deserialize;

use super::problems::Problems;
use crate::machine;

/// The table. What is missing is found by [`check`], so that everything is told at once.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct DispatchTable {
    wanted_in: Vec<String>,
    allotted: String,
    arriving: String,
    picked_up: String,
    completed: String,
    given_up: String,
    withdrawn: String,
}

impl From<DispatchTable> for WorkflowDispatch {
    fn from(table: DispatchTable) -> Self {
        let DispatchTable { wanted_in, allotted, arriving, picked_up, completed, given_up, withdrawn } = table;
        Self { wanted_in, allotted, arriving, picked_up, completed, given_up, withdrawn }
    }
}

/// Notes everything that is wrong with a workflow's table. Its statuses and edges have been found right.
pub fn check(workflow: &Workflow, line: usize, problems: &mut Problems) {
    let Some(dispatch) = &workflow.dispatch else { return };
    let mut note = |what: String| problems.add(line, format!("dispatch: {what}"));
    let found: Vec<String> = [words(workflow, dispatch), steps(workflow, dispatch), ends(workflow, dispatch)].concat();
    found.into_iter().for_each(&mut note);
}

/// Whether each key names what it may name.
fn words(workflow: &Workflow, dispatch: &WorkflowDispatch) -> Vec<String> {
    let mut problems = Vec::new();
    if dispatch.wanted_in.is_empty() {
        problems.push("wanted_in must name the statuses in which an order needs a courier".into());
    }
    for (key, status) in [("picked_up", &dispatch.picked_up), ("completed", &dispatch.completed)] {
        if status.is_empty() {
            problems.push(format!("{key} is missing"));
        }
    }
    let mut seen = BTreeSet::new();
    for (key, status) in entered(dispatch) {
        if machine::status(workflow, status).is_none() {
            problems.push(format!("{key} = {status:?}: there is no such status"));
        }
        if !seen.insert(status) {
            problems.push(format!("{key} = {status:?}: is named twice"));
        }
    }
    problems
}

/// Every status that the table names, with its key; `withdrawn` is one of `wanted_in`.
fn entered(dispatch: &WorkflowDispatch) -> impl Iterator<Item = (&'static str, &str)> {
    let wanted = dispatch.wanted_in.iter().map(|status| ("wanted_in", status.as_str()));
    wanted.chain(chain(dispatch)).chain(Some(("given_up", dispatch.given_up.as_str())).filter(|(_, s)| !s.is_empty()))
}

/// The statuses that a job goes through, in their order.
fn chain(dispatch: &WorkflowDispatch) -> impl Iterator<Item = (&'static str, &str)> {
    let WorkflowDispatch { allotted, arriving, picked_up, completed, .. } = dispatch;
    let chain = [("allotted", allotted), ("arriving", arriving), ("picked_up", picked_up), ("completed", completed)];
    chain.into_iter().map(|(key, status)| (key, status.as_str())).filter(|(_, status)| !status.is_empty())
}

/// Each step that dispatch takes needs an edge that an advance may take.
fn steps(workflow: &Workflow, dispatch: &WorkflowDispatch) -> Vec<String> {
    let wanted: Vec<&str> = dispatch.wanted_in.iter().map(String::as_str).collect();
    let mut needed = Vec::new();
    let mut from = wanted.clone();
    for (key, to) in chain(dispatch) {
        needed.extend(from.iter().map(|from| (key, *from, to)));
        from = vec![to];
    }
    if !dispatch.given_up.is_empty() {
        needed.extend(wanted.iter().map(|from| ("given_up", *from, dispatch.given_up.as_str())));
    }
    let before_pickup = [&dispatch.allotted, &dispatch.arriving];
    if !dispatch.withdrawn.is_empty() {
        let held = before_pickup.into_iter().filter(|status| !status.is_empty());
        needed.extend(held.map(|from| ("withdrawn", from.as_str(), dispatch.withdrawn.as_str())));
    }
    let is_missing = |(_, from, to): &(&str, &str, &str)| {
        !workflow
            .edges
            .iter()
            .any(|edge| edge.trigger() == Trigger::Advance && edge.from_status == *from && edge.to_status == *to)
    };
    let missing = needed.into_iter().filter(is_missing);
    missing.map(|(key, from, to)| format!("{key} = {to:?}: no edge leads there from {from:?} on \"advance\"")).collect()
}

/// Whether a job ends as it must, and can be given back.
fn ends(workflow: &Workflow, dispatch: &WorkflowDispatch) -> Vec<String> {
    let phase = |status: &str| machine::status(workflow, status).map(|status| status.phase());
    let mut problems = Vec::new();
    let mut require = |holds: bool, what: &str| {
        if !holds {
            problems.push(what.to_owned());
        }
    };
    require(
        phase(&dispatch.completed).is_none_or(|phase| phase == Phase::Succeeded),
        "completed must be a status of phase \"succeeded\"",
    );
    require(
        phase(&dispatch.given_up).is_none_or(|phase| phase != Phase::Active),
        "given_up must be a status in which the order has ended",
    );
    let leaves_the_queue = !dispatch.allotted.is_empty() || !dispatch.arriving.is_empty();
    let is_wanted = dispatch.wanted_in.contains(&dispatch.withdrawn);
    require(
        if leaves_the_queue { is_wanted } else { dispatch.withdrawn.is_empty() },
        "withdrawn must be one of wanted_in where there is allotted or arriving, and must be left out elsewhere",
    );
    problems
}

#[cfg(test)]
mod tests {
    use crate::workflow::parse;

    const RIDE: &str = include_str!("../../workflows/ride.toml");
    const COURIER: &str = include_str!("../../workflows/courier-delivery.toml");

    fn error(text: &str, from: &str, to: &str) -> String {
        assert!(text.contains(from), "{from:?} is not in the file");
        parse(&text.replace(from, to)).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_statuses_of_the_table_are_kept_with_the_workflow() {
        let dispatch = parse(RIDE).expect("valid").dispatch.expect("has one");
        assert_eq!(dispatch.wanted_in, ["requested"]);
        assert_eq!((dispatch.allotted.as_str(), dispatch.withdrawn.as_str()), ("confirmed", "requested"));
        let dispatch = parse(COURIER).expect("valid").dispatch.expect("has one");
        assert_eq!((dispatch.allotted.as_str(), dispatch.picked_up.as_str()), ("", "dispatched"));
    }

    #[test]
    fn a_table_that_the_edges_do_not_allow_is_refused_with_each_problem() {
        let cases = [
            (
                error(RIDE, "allotted = \"confirmed\"", "allotted = \"on_trip\""),
                "allotted = \"on_trip\": no edge leads there from \"requested\" on \"advance\"",
            ),
            (
                error(RIDE, "allotted = \"confirmed\"", "allotted = \"on_trip\""),
                "picked_up = \"on_trip\": is named twice",
            ),
            (error(RIDE, "picked_up = \"on_trip\"\n", ""), "picked_up is missing"),
            (
                error(RIDE, "picked_up = \"on_trip\"\n", ""),
                "completed = \"completed\": no edge leads there from \"arriving\" on \"advance\"",
            ),
            (error(RIDE, "wanted_in = [\"requested\"]", "wanted_in = []"), "wanted_in must name"),
            (
                error(RIDE, "wanted_in = [\"requested\"]", "wanted_in = [\"requested\", \"waiting\"]"),
                "wanted_in = \"waiting\": there is no such status",
            ),
            (error(RIDE, "withdrawn = \"requested\"\n", ""), "withdrawn must be one of wanted_in"),
            (error(COURIER, "[dispatch]", "[dispatch]\nwithdrawn = \"preparing\""), "must be left out elsewhere"),
            (error(RIDE, "given_up = \"no_driver\"", "given_up = \"arriving\""), "in which the order has ended"),
            (error(RIDE, "phase = \"succeeded\"", "phase = \"failed\""), "of phase \"succeeded\""),
            (error(RIDE, "[dispatch]", "[dispatch]\nlost = \"no_driver\""), "\"lost\": there is no such key here"),
        ];
        for (error, expected) in cases {
            assert!(error.contains(expected), "{expected:?} is not in:\n{error}");
        }
        let line = RIDE.lines().position(|line| line == "[dispatch]").expect("has one") + 1;
        let told = error(RIDE, "picked_up = \"on_trip\"\n", "");
        assert!(told.contains(&format!("line {line}: dispatch: picked_up")), "{told}");
    }

    #[test]
    fn only_the_timer_of_the_first_status_may_begin_at_the_start_time() {
        let edges = parse(RIDE).expect("valid").edges;
        let from_start: Vec<_> = edges.iter().filter(|edge| edge.after_start_time).collect();
        assert_eq!(from_start.len(), 1);
        assert_eq!((from_start[0].from_status.as_str(), from_start[0].to_status.as_str()), ("requested", "no_driver"));
        let told = error(
            RIDE,
            "to = \"on_trip\"\non = [\"advance\"]",
            "to = \"on_trip\"\non = [\"timer\"]\ndelay_ms = 1\nafter = \"start_time\"",
        );
        assert!(told.contains("only for the timer of the first status"), "{told}");
        assert!(error(RIDE, "after = \"start_time\"", "after = \"now\"").contains("after must be \"start_time\""));
        let told = error(
            RIDE,
            "to = \"completed\"\non = [\"advance\"]",
            "to = \"completed\"\non = [\"advance\"]\nafter = \"start_time\"",
        );
        assert!(told.contains("after belongs to a timer"), "{told}");
    }
}
