//! C13, the topic of assignments: it tells each event of each order, in the order of their versions, in one partition.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::{Case, Occurrence, OrderCase},
    findings::Findings,
    history::{AssignmentEvent, RecordContent, Topic},
};

/// As the history names the service with the outbox.
const DISPATCH: &str = "dispatch";

/// Looks at the events and their records.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for (order_id, order) in &case.orders {
        let mut problems = Vec::new();
        dense(&mut problems, order);
        for (log, records) in logs(order) {
            one_partition(&mut problems, order_id, &records);
            sequence(&mut problems, case, log, &records);
        }
        if case.drained() || case.stuck() {
            problems.extend(whole(case, order));
        }
        problems.into_iter().for_each(|problem| found.order(order_id, problem));
    }
}

fn dense(problems: &mut Vec<String>, order: &OrderCase<'_>) {
    let versions: Vec<i64> = order.assignment_events.iter().map(|event| event.version).collect();
    if !versions.iter().copied().eq(1..=versions.len() as i64) {
        problems.push(format!("its events have the versions {versions:?} instead of 1 to {}", versions.len()));
    }
    for (record, event) in order.assignment_records.iter().filter_map(|record| Some((record, event(record)?))) {
        let kept = order.assignment_events.iter().find(|kept| kept.version == event.version);
        if kept.is_none_or(|kept| *kept != event) {
            problems.push(format!("its record at {:?} says {event:?}, and is kept as {kept:?}", record.place));
        }
    }
}

fn event<'a>(record: &Occurrence<'a>) -> Option<&'a AssignmentEvent> {
    match record.content {
        RecordContent::Assignment { event } => Some(event),
        _ => None,
    }
}

type Records<'o, 'a> = Vec<(&'o Occurrence<'a>, &'a AssignmentEvent)>;

fn logs<'o, 'a>(order: &'o OrderCase<'a>) -> BTreeMap<u32, Records<'o, 'a>> {
    let mut logs: BTreeMap<u32, Records<'o, 'a>> = BTreeMap::new();
    for record in &order.assignment_records {
        logs.entry(record.place.log).or_default().extend(event(record).map(|event| (record, event)));
    }
    logs
}

fn one_partition(problems: &mut Vec<String>, order_id: &str, records: &Records<'_, '_>) {
    let partitions: BTreeSet<i32> = records.iter().map(|(record, _)| record.place.partition).collect();
    if partitions.len() > 1 {
        problems.push(format!("its assignments lie in the partitions {partitions:?} of one log"));
    }
    if let Some((record, _)) = records.iter().find(|(record, _)| record.key != order_id) {
        problems.push(format!("its record at {:?} has the key {:?}", record.place, record.key));
    }
}

/// First occurrences are 1, 2, 3 ..; in a log that replaced a lost one from where it begins again.
fn sequence(problems: &mut Vec<String>, case: &Case<'_>, log: u32, records: &Records<'_, '_>) {
    let begin = if log == 1 { Some(0) } else { records.iter().position(|(_, event)| event.version == 1) };
    let Some(begin) = begin else {
        if case.drained() && !case.republished.is_empty() {
            problems.push(format!("log {log} tells of its courier, but was never told event 1"));
        }
        return;
    };
    let mut highest = 0;
    for (record, event) in &records[begin..] {
        if event.version > highest + 1 {
            let (version, place) = (event.version, record.place);
            return problems.push(format!("log {log} tells event {version} after {highest}, at {place:?}"));
        }
        highest = highest.max(event.version);
    }
}

/// The newest log tells everything that no pointer is left for.
fn whole(case: &Case<'_>, order: &OrderCase<'_>) -> Option<String> {
    let log = case.logs.get(&Topic::Assignments).copied().unwrap_or(1);
    if log > 1 && case.republished.is_empty() {
        return None;
    }
    let told: BTreeSet<i64> = logs(order).remove(&log).into_iter().flatten().map(|(_, event)| event.version).collect();
    let waits = |version: i64| order.pointers.contains(&(DISPATCH, version));
    let versions = order.assignment_events.iter().map(|event| event.version);
    let missing: Vec<i64> = versions.filter(|&version| !told.contains(&version) && !waits(version)).collect();
    (!missing.is_empty()).then(|| format!("log {log} of the topic of assignments does not tell its events {missing:?}"))
}
