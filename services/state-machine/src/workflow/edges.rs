//! Entries `[[edge]]` of a workflow file, one edge for each `from` and each `on`.

use comanda_proto::v1::{Trigger, WorkflowEdge};
use serde::Deserialize;

use super::problems::Problems;

/// Longest delay of a timer: a year.
const MOST_DELAY_MS: i64 = 366 * 24 * 60 * 60 * 1000;
/// How many edges a workflow may have.
pub const MOST_EDGES: usize = 1000;

/// The word for a delay that counts from the order's start time, where that is later.
const START_TIME: &str = "start_time";
/// The words for a trigger.
const TRIGGERS: [&str; 4] = ["timer", "advance", "cancel", "reject"];

/// An entry `[[edge]]`: one edge for each `from` and each `on`.
#[derive(Deserialize)]
pub struct EdgeTable {
    /// The statuses that are left.
    #[serde(default)]
    pub from: Vec<String>,
    /// The status that is entered.
    #[serde(default)]
    pub to: String,
    /// The triggers.
    #[serde(default)]
    pub on: Vec<String>,
    /// How long an order stays before the timer.
    pub delay_ms: Option<i64>,
    /// From when the delay counts: empty for the moment at which the status was entered, or [`START_TIME`].
    #[serde(default)]
    pub after: String,
}

/// The edges of an entry; none where there are more than any workflow may have.
pub fn expand(table: &EdgeTable, line: usize, problems: &mut Problems) -> Vec<WorkflowEdge> {
    let EdgeTable { from, to, on, delay_ms, after } = table;
    let mut require = |holds, what: &str| problems.require(holds, line, || format!("edge to {to:?}: {what}"));
    let timed = on.iter().any(|on| on == "timer");
    require(timed == delay_ms.is_some(), "delay_ms belongs to a timer, and a timer needs it");
    require(delay_ms.is_none_or(|ms| (0..=MOST_DELAY_MS).contains(&ms)), "delay_ms must be 0 to a year");
    require(after.is_empty() || after == START_TIME, "after must be \"start_time\" or left out");
    require(after.is_empty() || timed, "after belongs to a timer");
    require(!from.is_empty() && !on.is_empty(), "from and on must name something");
    let fits = from.len().saturating_mul(on.len()) <= MOST_EDGES;
    require(fits, "from and on make too many edges");
    if !fits {
        return Vec::new();
    }
    let triggers: Vec<_> = on.iter().filter_map(|on| trigger(on, line, problems)).collect();
    let pairs = from.iter().flat_map(|from| triggers.iter().map(move |trigger| (from, *trigger)));
    pairs.map(|(from, trigger)| single(table, from, trigger)).collect()
}

fn single(table: &EdgeTable, from: &str, trigger: Trigger) -> WorkflowEdge {
    let is_timer = trigger == Trigger::Timer;
    let delay_ms = table.delay_ms.filter(|_| is_timer).map(|delay_ms| delay_ms.clamp(0, MOST_DELAY_MS));
    let delay_duration = delay_ms.map(|delay_ms| prost_types::Duration {
        seconds: delay_ms / 1000,
        nanos: (delay_ms % 1000) as i32 * 1_000_000,
    });
    WorkflowEdge {
        from_status: from.into(),
        to_status: table.to.clone(),
        trigger: trigger.into(),
        delay_duration,
        after_start_time: is_timer && table.after == START_TIME,
    }
}

fn trigger(word: &str, line: usize, problems: &mut Problems) -> Option<Trigger> {
    let known = problems.one_of(word, &TRIGGERS, "on", line);
    if known { Trigger::from_str_name(&format!("TRIGGER_{}", word.to_uppercase())) } else { None }
}
