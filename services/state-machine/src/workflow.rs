//! Workflow files: what they look like, and everything that must hold before an order may follow one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use comanda_proto::v1::{Phase, Trigger, Workflow, WorkflowEdge, WorkflowStatus};
use serde::Deserialize;

/// Longest delay of a timer: a year.
const MAX_DELAY_MS: u64 = 366 * 24 * 60 * 60 * 1000;

const SHIPPED: [(&str, &str); 2] = [
    ("delivery.toml", include_str!("../workflows/delivery.toml")),
    ("delivery-finalizado.toml", include_str!("../workflows/delivery-finalizado.toml")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    status: Vec<Status>,
    #[serde(default)]
    edge: Vec<Edge>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    name: String,
    phase: PhaseName,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    mail: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    from: Vec<String>,
    to: String,
    on: Vec<TriggerName>,
    delay_ms: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PhaseName {
    Active,
    Succeeded,
    Cancelled,
    Rejected,
    Failed,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum TriggerName {
    Timer,
    Advance,
    Cancel,
    Reject,
}

/// The workflows that come with Comanda.
pub fn shipped() -> Result<Vec<Workflow>> {
    SHIPPED.iter().map(|(name, text)| parse(text).with_context(|| format!("in {name}"))).collect()
}

/// Reads workflow files, no two of which may have the same name.
pub fn read_files(paths: &[PathBuf]) -> Result<Vec<Workflow>> {
    let mut by_name = BTreeMap::new();
    let mut workflows = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let workflow = parse(&text).with_context(|| format!("in {}", path.display()))?;
        if let Some(other) = by_name.insert(workflow.name.clone(), path) {
            bail!("workflow {:?} is in two files: {} and {}", workflow.name, other.display(), path.display());
        }
        workflows.push(workflow);
    }
    Ok(workflows)
}

/// Reads a workflow file. An error says everything that is wrong, and where.
pub fn parse(text: &str) -> Result<Workflow> {
    let file: File = toml::from_str(text)?;
    let mut problems = Vec::new();
    let edges = file.edge.iter().enumerate().flat_map(|(index, edge)| expand(index, edge, &mut problems)).collect();
    let statuses = file.status.into_iter().map(into_status).collect();
    let workflow = Workflow { name: file.name, revision: 0, statuses, edges };
    check(&workflow, &mut problems);
    if !problems.is_empty() {
        bail!("workflow {:?} is not usable:\n  {}", workflow.name, problems.join("\n  "));
    }
    Ok(workflow)
}

fn into_status(status: Status) -> WorkflowStatus {
    let phase = match status.phase {
        PhaseName::Active => Phase::Active,
        PhaseName::Succeeded => Phase::Succeeded,
        PhaseName::Cancelled => Phase::Cancelled,
        PhaseName::Rejected => Phase::Rejected,
        PhaseName::Failed => Phase::Failed,
    };
    WorkflowStatus { name: status.name, phase: phase.into(), labels: status.labels, mail_template: status.mail }
}

/// One edge for each `from` and each `on`.
fn expand(index: usize, edge: &Edge, problems: &mut Vec<String>) -> Vec<WorkflowEdge> {
    let timed = edge.on.contains(&TriggerName::Timer);
    if timed != edge.delay_ms.is_some() {
        problems.push(format!(
            "edge {} to {:?}: delay_ms belongs to a timer, and a timer needs it",
            index + 1,
            edge.to
        ));
    }
    if edge.delay_ms.is_some_and(|delay_ms| delay_ms > MAX_DELAY_MS) {
        problems.push(format!("edge {} to {:?}: delay_ms is more than a year", index + 1, edge.to));
    }
    if edge.from.is_empty() || edge.on.is_empty() {
        problems.push(format!("edge {} to {:?}: from and on must name something", index + 1, edge.to));
    }
    let pairs = edge.from.iter().flat_map(|from| edge.on.iter().map(move |on| (from, *on)));
    pairs.map(|(from, on)| single_edge(from, &edge.to, on, edge.delay_ms)).collect()
}

fn single_edge(from: &str, to: &str, on: TriggerName, delay_ms: Option<u64>) -> WorkflowEdge {
    let trigger = match on {
        TriggerName::Timer => Trigger::Timer,
        TriggerName::Advance => Trigger::Advance,
        TriggerName::Cancel => Trigger::Cancel,
        TriggerName::Reject => Trigger::Reject,
    };
    let delay_duration = delay_ms.filter(|_| on == TriggerName::Timer).map(|delay_ms| {
        let delay_ms = delay_ms.min(MAX_DELAY_MS);
        prost_types::Duration { seconds: (delay_ms / 1000).cast_signed(), nanos: (delay_ms % 1000) as i32 * 1_000_000 }
    });
    WorkflowEdge { from_status: from.into(), to_status: to.into(), trigger: trigger.into(), delay_duration }
}

fn check(workflow: &Workflow, problems: &mut Vec<String>) {
    check_names(workflow, problems);
    check_edges(workflow, problems);
    if problems.is_empty() {
        check_paths(workflow, problems);
    }
}

fn check_names(workflow: &Workflow, problems: &mut Vec<String>) {
    let is_word = |name: &str| {
        (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    if !is_word(&workflow.name) {
        problems.push("name: must be 1 to 63 of a-z, 0-9, - and _".into());
    }
    let mut seen = BTreeSet::new();
    for status in &workflow.statuses {
        if !is_word(&status.name) {
            problems.push(format!("status {:?}: must be 1 to 63 of a-z, 0-9, - and _", status.name));
        }
        if !seen.insert(&status.name) {
            problems.push(format!("status {:?}: is there twice", status.name));
        }
    }
    if workflow.statuses.first().is_none_or(|first| first.phase() != Phase::Active) {
        problems.push("the first status must be there and have phase \"active\": new orders have it".into());
    }
}

fn check_edges(workflow: &Workflow, problems: &mut Vec<String>) {
    let phase = |name: &str| crate::machine::status(workflow, name).map(WorkflowStatus::phase);
    let mut seen = BTreeSet::new();
    for edge in &workflow.edges {
        let WorkflowEdge { from_status: from, to_status: to, .. } = edge;
        let trigger = edge.trigger();
        let mut error = |text: &str| problems.push(format!("edge {from} -> {to}: {text}"));
        match (phase(from), phase(to)) {
            (None, _) => error("leaves an unknown status"),
            (_, None) => error("enters an unknown status"),
            (Some(left), _) if left != Phase::Active => error("leaves a status that has ended"),
            (_, Some(entered)) if trigger == Trigger::Cancel && entered != Phase::Cancelled => {
                error("a cancel must enter a status of phase \"cancelled\"");
            }
            (_, Some(entered)) if trigger == Trigger::Reject && entered != Phase::Rejected => {
                error("a reject must enter a status of phase \"rejected\"");
            }
            _ if from == to => error("leads nowhere"),
            _ => {}
        }
        // A command other than advance names no target, and a timer can not choose.
        let target = if trigger == Trigger::Advance { to.as_str() } else { "" };
        if !seen.insert((from, trigger as i32, target)) {
            error("there is another edge from the same status for the same trigger");
        }
    }
}

fn check_paths(workflow: &Workflow, problems: &mut Vec<String>) {
    let first = &workflow.statuses[0].name;
    let reachable = closure(first, workflow, |edge| Some((&edge.from_status, &edge.to_status)));
    for status in &workflow.statuses {
        if !reachable.contains(&status.name) {
            problems.push(format!("status {:?}: no edge leads to it", status.name));
        }
        let onwards = closure(&status.name, workflow, |edge| Some((&edge.from_status, &edge.to_status)));
        let ends = |name: &&String| crate::machine::status(workflow, name).is_some_and(|s| s.phase() != Phase::Active);
        if onwards.iter().find(ends).is_none() {
            problems.push(format!("status {:?}: no way leads from it to an end", status.name));
        }
        let timer = |edge: &'_ WorkflowEdge| edge.trigger() == Trigger::Timer;
        let next = workflow.edges.iter().find(|edge| timer(edge) && edge.from_status == status.name);
        let timed =
            |from: &String| closure(from, workflow, |edge| timer(edge).then_some((&edge.from_status, &edge.to_status)));
        if next.is_some_and(|edge| timed(&edge.to_status).contains(&status.name)) {
            problems.push(format!("status {:?}: timers lead round in a circle", status.name));
        }
    }
}

/// Every status that can be reached from `start`, itself included, over the edges that `link` lets through.
fn closure<'w>(
    start: &str,
    workflow: &'w Workflow,
    link: impl Fn(&'w WorkflowEdge) -> Option<(&'w String, &'w String)>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::from([start.to_owned()]);
    loop {
        let next: Vec<_> = workflow
            .edges
            .iter()
            .filter_map(&link)
            .filter(|(from, to)| found.contains(*from) && !found.contains(*to))
            .collect();
        if next.is_empty() {
            return found;
        }
        found.extend(next.into_iter().map(|(_, to)| to.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(edit: impl Fn(&str) -> String) -> String {
        parse(&edit(SHIPPED[0].1)).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_shipped_workflows_are_valid() {
        let names: Vec<_> = shipped().expect("valid").into_iter().map(|workflow| workflow.name).collect();
        assert_eq!(names, ["delivery", "delivery-finalizado"]);
    }

    #[test]
    fn what_can_not_work_is_refused_and_the_place_is_named() {
        assert!(
            error(|text| text.replace("to = \"dispatched\"", "to = \"sent\""))
                .contains("preparing -> sent: enters an unknown status")
        );
        assert!(
            error(|text| text.replace("to = \"preparing\"", "to = \"dispatched\""))
                .contains("\"preparing\": no edge leads to it")
        );
        assert!(error(|text| text.replace("to = \"delivered\"", "to = \"preparing\"")).contains("circle"));
        assert!(error(|text| text.replace("delay_ms = 30_000", "")).contains("a timer needs it"));
        assert!(error(|text| text.replacen("\"active\"", "\"failed\"", 1)).contains("the first status"));
        assert!(error(|text| text.replace("on = [\"reject\"]", "on = [\"cancel\"]")).contains("phase \"cancelled\""));
        assert!(
            error(|text| text.replace("[\"timer\", \"advance\"]\ndelay_ms = 30_000", "[\"advance\", \"advance\"]"))
                .contains("another edge")
        );
    }

    #[test]
    fn a_status_without_a_way_to_an_end_is_refused() {
        let text = "name = \"x\"\n[[status]]\nname = \"a\"\nphase = \"active\"\n[[status]]\nname = \"b\"\nphase = \"failed\"\n\
                    [[status]]\nname = \"c\"\nphase = \"active\"\n[[edge]]\nfrom = [\"a\"]\nto = \"b\"\non = [\"advance\"]\n\
                    [[edge]]\nfrom = [\"a\"]\nto = \"c\"\non = [\"cancel\"]";
        let error = parse(&text.replace("cancel", "advance")).expect_err("c is a dead end").to_string();
        assert!(error.contains("\"c\": no way leads from it to an end"), "{error}");
    }
}
