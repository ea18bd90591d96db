//! Everything that must hold before an order may follow a workflow.

use std::collections::BTreeSet;

use comanda_proto::{
    mail,
    v1::{Phase, Trigger, Workflow, WorkflowEdge, WorkflowStatus},
};

use super::{dispatch, edges::MOST_EDGES, labels, problems::Problems};
use crate::machine;

/// How many statuses a workflow may have.
const MOST_STATUSES: usize = 100;
/// In how many languages a status may have a label.
const MOST_LABELS: usize = 50;
/// The longest name, in characters, of a workflow or a status.
const MOST_NAME: usize = 63;

/// A workflow as a file states it, with the line of each part.
pub struct Draft {
    pub workflow: Workflow,
    pub status_lines: Vec<usize>,
    pub edge_lines: Vec<usize>,
    /// Line of the table `[dispatch]`; 1 where there is none.
    pub dispatch_line: usize,
}

impl Draft {
    fn statuses(&self) -> impl Iterator<Item = (&WorkflowStatus, usize)> {
        self.workflow.statuses.iter().zip(self.status_lines.iter().copied())
    }

    fn edges(&self) -> impl Iterator<Item = (&WorkflowEdge, usize)> {
        self.workflow.edges.iter().zip(self.edge_lines.iter().copied())
    }

    fn phase(&self, status: &str) -> Option<Phase> {
        machine::status(&self.workflow, status).map(WorkflowStatus::phase)
    }
}

/// Notes everything that is wrong with a draft.
pub fn check(draft: &Draft, problems: &mut Problems) {
    let (statuses, edges) = (draft.workflow.statuses.len(), draft.workflow.edges.len());
    let fits = statuses <= MOST_STATUSES && edges <= MOST_EDGES;
    problems.require(fits, 1, || {
        format!(
            "there are {statuses} statuses and {edges} edges; a workflow has at most {MOST_STATUSES} and {MOST_EDGES}"
        )
    });
    if !fits {
        return;
    }
    draft.statuses().for_each(|(status, line)| check_texts(status, line, problems));
    let before = problems.count();
    check_names(draft, problems);
    check_edges(draft, problems);
    // Where names or edges are wrong, paths over them would only be a second complaint.
    if problems.count() == before {
        check_paths(draft, problems);
        dispatch::check(&draft.workflow, draft.dispatch_line, problems);
    }
}

fn check_texts(status: &WorkflowStatus, line: usize, problems: &mut Problems) {
    let WorkflowStatus { name, labels, mail_template, .. } = status;
    problems
        .require(labels.len() <= MOST_LABELS, line, || format!("status {name:?}: has more than {MOST_LABELS} labels"));
    for (key, label) in labels.iter().take(MOST_LABELS) {
        let mut note = |what| problems.add(line, format!("status {name:?}: label {key:?}: {what}"));
        labels::key_problem(key).into_iter().for_each(&mut note);
        labels::text_problem(label).into_iter().for_each(&mut note);
    }
    let known = mail_template.is_empty() || mail::TEMPLATES.contains(&mail_template.as_str());
    problems.require(known, line, || {
        format!(
            "status {name:?}: mail {mail_template:?}: there is no such template; there are: {}",
            mail::TEMPLATES.join(", ")
        )
    });
}

fn check_names(draft: &Draft, problems: &mut Problems) {
    let rule = format!("must have 1 to {MOST_NAME} of a-z, 0-9, - and _");
    problems.require(is_word(&draft.workflow.name), 1, || format!("name {:?}: {rule}", draft.workflow.name));
    let mut seen = BTreeSet::new();
    for (status, line) in draft.statuses() {
        let name = &status.name;
        problems.require(is_word(name), line, || format!("status {name:?}: its name {rule}"));
        problems.require(seen.insert(name), line, || format!("status {name:?}: there are two of this name"));
    }
    let (first, line) = draft.statuses().next().unzip();
    let is_active = first.is_some_and(|first| first.phase() == Phase::Active);
    problems.require(is_active, line.unwrap_or(1), || {
        "the first status must exist and have phase \"active\": new orders have it".into()
    });
}

fn is_word(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

fn check_edges(draft: &Draft, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (edge, line) in draft.edges() {
        let WorkflowEdge { from_status: from, to_status: to, .. } = edge;
        let trigger = edge.trigger();
        let mut note = |what: &str| problems.add(line, format!("edge {from:?} to {to:?}: {what}"));
        edge_problem(draft, edge).into_iter().for_each(&mut note);
        // Only an advance names its target.
        let target = if trigger == Trigger::Advance { to.as_str() } else { "" };
        if !seen.insert((from, trigger as i32, target)) {
            note("there is another edge from the same status for the same trigger");
        }
    }
}

fn edge_problem(draft: &Draft, edge: &WorkflowEdge) -> Option<&'static str> {
    let WorkflowEdge { from_status: from, to_status: to, .. } = edge;
    match (draft.phase(from), edge.trigger(), draft.phase(to)) {
        (None, ..) => Some("leaves an unknown status"),
        (.., None) => Some("enters an unknown status"),
        (Some(left), ..) if left != Phase::Active => Some("leaves a status that has ended"),
        (_, Trigger::Cancel, entered) if entered != Some(Phase::Cancelled) => {
            Some("a cancel must enter a status of phase \"cancelled\"")
        }
        (_, Trigger::Reject, entered) if entered != Some(Phase::Rejected) => {
            Some("a reject must enter a status of phase \"rejected\"")
        }
        _ if from == to => Some("enters the status that it leaves"),
        _ if edge.after_start_time && !is_first(draft, from) => {
            Some("after = \"start_time\" is only for the timer of the first status")
        }
        _ => None,
    }
}

fn is_first(draft: &Draft, status: &str) -> bool {
    draft.workflow.statuses.first().is_some_and(|first| first.name == status)
}

fn check_paths(draft: &Draft, problems: &mut Problems) {
    let workflow = &draft.workflow;
    let reachable = reached(&workflow.statuses[0].name, workflow, |_| true);
    for (status, line) in draft.statuses() {
        let name = status.name.as_str();
        let mut require = |holds, what: &str| problems.require(holds, line, || format!("status {name:?}: {what}"));
        require(reachable.contains(name), "no edge leads to it");
        let ends = reached(name, workflow, |_| true);
        require(ends.iter().any(|name| draft.phase(name) != Some(Phase::Active)), "no way leads from it to an end");
        require(!timers_lead_back(name, workflow), "timers lead from it back to it, without end");
    }
}

fn timers_lead_back(name: &str, workflow: &Workflow) -> bool {
    let is_timer = |edge: &WorkflowEdge| edge.trigger() == Trigger::Timer;
    let next = workflow.edges.iter().find(|edge| is_timer(edge) && edge.from_status == name);
    next.is_some_and(|edge| reached(&edge.to_status, workflow, is_timer).contains(name))
}

/// Every status that can be reached from `start`, itself included, over the edges that `follows` lets through.
fn reached<'w>(start: &'w str, workflow: &'w Workflow, follows: impl Fn(&WorkflowEdge) -> bool) -> BTreeSet<&'w str> {
    let mut found = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(from) = open.pop() {
        let edges = workflow.edges.iter().filter(|edge| edge.from_status == from && follows(edge));
        open.extend(edges.map(|edge| edge.to_status.as_str()).filter(|to| found.insert(to)));
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::workflow::parse;

    const DELIVERY: &str = include_str!("../../workflows/delivery.toml");

    fn error(edit: impl Fn(&str) -> String) -> String {
        parse(&edit(DELIVERY)).expect_err("must be refused").to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        let cases = [
            (
                error(|text| text.replace("to = \"dispatched\"", "to = \"sent\"")),
                "\"preparing\" to \"sent\": enters an unknown",
            ),
            (
                error(|text| text.replace("to = \"preparing\"", "to = \"dispatched\"")),
                "\"preparing\": no edge leads to it",
            ),
            (error(|text| text.replace("to = \"delivered\"", "to = \"preparing\"")), "without end"),
            (error(|text| text.replace("delay_ms = 30_000", "")), "a timer needs it"),
            (error(|text| text.replace("30_000", "-1")), "0 to a year"),
            (error(|text| text.replacen("\"active\"", "\"failed\"", 1)), "the first status"),
            (
                error(|text| text.replacen("\"active\"", "\"activ\"", 1)),
                "phase \"activ\": must be one of active, succeeded",
            ),
            (error(|text| text.replace("[\"reject\"]", "[\"cancel\"]")), "phase \"cancelled\""),
            (
                error(|text| text.replace("[\"reject\"]", "[\"refuse\"]")),
                "on \"refuse\": must be one of timer, advance",
            ),
            (
                error(|text| text.replace("[\"timer\", \"advance\"]\ndelay_ms = 30_000", "[\"advance\", \"advance\"]")),
                "another edge",
            ),
            (error(|text| text.replacen("mail =", "mial =", 1)), "line 5: \"mial\": there is no such key"),
            (error(|text| format!("colour = 1\n{text}")), "\"colour\": there is no such key"),
            (
                error(|text| text.replace("name = \"delivery\"", "name = \"My delivery\"")),
                "name \"My delivery\": must have",
            ),
        ];
        for (error, expected) in cases {
            assert!(error.contains(expected), "{expected:?} is not in:\n{error}");
        }
    }

    #[test]
    fn a_status_without_a_way_to_an_end_is_refused() {
        let text = "name = \"x\"\n[[status]]\nname = \"a\"\nphase = \"active\"\n[[status]]\nname = \"b\"\nphase = \"failed\"\n\
                    [[status]]\nname = \"c\"\nphase = \"active\"\n[[edge]]\nfrom = [\"a\"]\nto = \"b\"\non = [\"advance\"]\n\
                    [[edge]]\nfrom = [\"a\"]\nto = \"c\"\non = [\"advance\"]";
        let error = parse(text).expect_err("c is a dead end").to_string();
        assert!(error.contains("line 8: status \"c\": no way leads from it to an end"), "{error}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
        let error = error(|text| {
            text.replacen("es = \"recibido\"", "es = \"reci\\nbido\", spanish = \"recibido\"", 1)
                .replacen("mail = \"status\"", "mail = \"welcome\"", 1)
                .replacen("en = \"preparing\"", "en = \"\"", 1)
                .replacen("to = \"delivered\"", "to = \"done\"", 1)
        });
        let expected = [
            "line 5: status \"received\": label \"es\": holds \\u{a}",
            "line 5: status \"received\": label \"spanish\": is no language tag",
            "line 5: status \"received\": mail \"welcome\": there is no such template; there are: status",
            "line 11: status \"preparing\": label \"en\": must have 1 to 100 characters",
            "edge \"dispatched\" to \"done\": enters an unknown status",
        ];
        let places: Vec<_> =
            expected.iter().map(|text| error.find(text).unwrap_or_else(|| panic!("{text}\n{error}"))).collect();
        assert!(places.is_sorted(), "{error}");
    }

    #[test]
    fn labels_may_be_there_in_some_languages_only() {
        let text = DELIVERY.replacen(
            "labels = { es = \"preparando\", en = \"preparing\" }",
            "labels = { fr = \"en cuisine\" }",
            1,
        );
        assert_eq!(parse(&text).expect("fine").statuses[1].labels.len(), 1);
        let text = DELIVERY.replacen("labels = { es = \"preparando\", en = \"preparing\" }", "", 1);
        assert!(parse(&text).expect("fine").statuses[1].labels.is_empty());
    }

    #[test]
    fn a_workflow_has_bounds() {
        let many: String = (0..100).map(|n| format!("[[status]]\nname = \"s{n}\"\nphase = \"failed\"\n")).collect();
        assert!(error(|text| format!("{text}\n{many}")).contains("106 statuses"));
        let names: Vec<_> = (0..40).map(|n| format!("s{n}")).collect();
        let many = format!("[[edge]]\nfrom = {names:?}\nto = \"s\"\non = {:?}\n", ["advance"; 26]);
        assert!(error(|text| format!("{text}\n{many}")).contains("too many edges"));
        let comment = "# ".repeat(128 * 1024);
        assert!(error(|text| format!("{text}\n{comment}")).contains("at most 256 KiB"));
    }
}
