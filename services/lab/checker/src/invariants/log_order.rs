//! C5: each log of a topic tells each order in the order of its versions, in one partition, and at the end tells all of it.

use std::collections::BTreeSet;

use crate::{
    case::{Case, Fault, OrderCase, Place, Strange},
    compare,
    findings::Findings,
    history::{Topic, Transition},
};

/// Repeats of a record that are allowed under faults: one in a hundred, or so many for each fault that may hit a relay, where faults
/// come thick. A relay that is killed, or no longer hears Kafka or Postgres, repeats what it had sent together; at the rates of trials
/// that is less. What was replayed on purpose is so much of each topic at most.
const REPEATS_PERCENT: u64 = 1;
const REPEATS_A_FAULT: u64 = 50;
const REPLAYED_A_FAULT: u64 = 500;
/// A fault of these alone hits no relay.
const ELSEWHERE: &[&str] = &["smtp", "mail", "client", "notification", "garbage"];

/// Services with an outbox, as the history names them.
const ORDERING: &str = "ordering";
const STATE_MACHINE: &str = "state-machine";

type Told<'a> = (Place, &'a str, &'a Transition);

/// Looks at the records of both topics.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let (accepted, stuck) = (case.accepted(), case.stuck());
    for (order_id, order) in &case.orders {
        let mut problems = Vec::new();
        placed(&mut problems, order_id, order);
        for (log, records) in order.logs() {
            one_partition(&mut problems, order_id, &records);
            sequence(&mut problems, case, log, &records);
            records.iter().for_each(|record| problems.extend(content(order, record)));
        }
        if order.row().is_some() && (case.drained() || stuck) {
            whole(&mut problems, case, order, case.drained() && accepted.contains(order_id));
        }
        problems.into_iter().for_each(|problem| found.order(order_id, problem));
    }
    for Strange { topic, place, key, why } in &case.strange_records {
        if let Some(why) = why {
            found.system(None, format!("{topic:?} holds an unreadable record at {place:?}, key {key:?}: {why}"));
        }
    }
    [Topic::Orders, Topic::Transitions].into_iter().for_each(|topic| duplicates(case, found, topic));
    lost(case, found);
}

/// Kafka keeps what it has acknowledged, so nobody may find that a log was lost, unless it was. What lies in a log that is thought lost
/// is not judged.
fn lost(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for (topic, log) in case.logs.iter().filter(|(_, log)| **log > 1 && case.republished.is_empty()) {
        found.system(None, format!("{topic:?} has had {log} logs, says its writer, and none was lost on purpose"));
    }
}

fn placed(problems: &mut Vec<String>, order_id: &str, order: &OrderCase<'_>) {
    let Some(row) = order.row() else { return };
    let partitions: BTreeSet<_> =
        order.placed.iter().map(|record| (record.place.log, record.place.partition)).collect();
    let logs: BTreeSet<_> = order.placed.iter().map(|record| record.place.log).collect();
    if partitions.len() > logs.len() {
        problems.push(format!("placed in several partitions (log, partition): {partitions:?}"));
    }
    for record in &order.placed {
        if let Some(difference) = compare::placed(record.content, row) {
            problems.push(format!("its record at {:?} is not its row: {difference}", record.place));
        }
        if record.key != order_id {
            problems.push(format!("its record at {:?} has the key {:?}", record.place, record.key));
        }
    }
}

fn one_partition(problems: &mut Vec<String>, order_id: &str, records: &[Told<'_>]) {
    let partitions: BTreeSet<i32> = records.iter().map(|(place, ..)| place.partition).collect();
    if partitions.len() > 1 {
        problems.push(format!("its transitions lie in the partitions {partitions:?} of one log"));
    }
    if let Some((place, key, _)) = records.iter().find(|(_, key, _)| *key != order_id) {
        problems.push(format!("its record at {place:?} has the key {key:?}"));
    }
}

/// First occurrences are 1, 2, 3 .. In a log that replaced a lost one, what was under way comes first; then everything begins again with version 1.
fn sequence(problems: &mut Vec<String>, case: &Case<'_>, log: u32, records: &[Told<'_>]) {
    let begin = if log == 1 { Some(0) } else { records.iter().position(|(.., transition)| transition.version == 1) };
    let Some(begin) = begin else {
        if case.drained() && !case.republished.is_empty() {
            problems.push(format!("log {log} tells of it, but was never told its version 1"));
        }
        return;
    };
    let mut highest = 0;
    for (place, _, transition) in &records[begin..] {
        if transition.version > highest + 1 {
            let version = transition.version;
            return problems.push(format!("log {log} tells version {version} after {highest}, at {place:?}"));
        }
        highest = highest.max(transition.version);
    }
}

fn content(order: &OrderCase<'_>, (place, _, shown): &Told<'_>) -> Option<String> {
    // Without a row it is no order at all: C2 tells of those that left more.
    let problem = match order.step(shown.version) {
        Some(kept) => difference(shown, kept),
        None => Some("its history does not have that version".into()),
    };
    problem.map(|problem| format!("its record of version {} at {place:?}: {problem}", shown.version))
}

/// A record is made of the row, so not even its timer may be missing.
fn difference(shown: &Transition, kept: &Transition) -> Option<String> {
    let timer = || format!("next_time_us is {:?} instead of {:?}", shown.next_time_us, kept.next_time_us);
    compare::transition(shown, kept).or_else(|| (shown.next_time_us != kept.next_time_us).then(timer))
}

/// The newest log of each topic tells everything, as far as it is known to have been told again after a loss; of a run that is stuck,
/// everything that no pointer is left for. Version 1 of what was accepted is judged by C1 where that judges.
fn whole(problems: &mut Vec<String>, case: &Case<'_>, order: &OrderCase<'_>, accepted: bool) {
    if let Some(log) = newest(case, Topic::Orders) {
        let there = order.placed.iter().any(|record| record.place.log == log);
        let waits = order.pointers.iter().any(|(service, _)| *service == ORDERING);
        if !(there || waits || accepted && order.placed.is_empty()) {
            problems.push(format!("log {log} of the topic of orders does not tell of it"));
        }
    }
    let Some(log) = newest(case, Topic::Transitions) else { return };
    let told: BTreeSet<i64> =
        order.logs().remove(&log).into_iter().flatten().map(|(.., transition)| transition.version).collect();
    let versions = order.steps.iter().map(|step| step.transition.version);
    let elsewhere = |version: i64| version == 1 && accepted && log == 1;
    let waits = |version: i64| order.pointers.contains(&(STATE_MACHINE, version));
    let missing: Vec<i64> =
        versions.filter(|&version| !told.contains(&version) && !elsewhere(version) && !waits(version)).collect();
    if !missing.is_empty() {
        problems.push(format!("log {log} of the topic of transitions does not tell its versions {missing:?}"));
    }
}

/// The log that must tell everything.
fn newest(case: &Case<'_>, topic: Topic) -> Option<u32> {
    let log = case.logs.get(&topic).copied().unwrap_or(1);
    (log == 1 || !case.republished.is_empty()).then_some(log)
}

fn duplicates(case: &Case<'_>, found: &mut Findings<'_, '_>, topic: Topic) {
    let (events, repeats) = case.repeats(topic);
    if case.calm() && case.republished.is_empty() && repeats > 0 {
        return found.system(None, format!("{topic:?} repeats {repeats} of {events} events in a run without faults"));
    }
    let faults = |hits: fn(&Fault<'_>) -> bool| case.faults.iter().filter(|fault| hits(fault)).count() as u64;
    let replayed = faults(|fault| fault.tells_of(&["replay"])) * REPLAYED_A_FAULT;
    let by_relays = faults(|fault| !fault.is_only_of(ELSEWHERE)) * REPEATS_A_FAULT;
    let most = (events * REPEATS_PERCENT / 100).max(by_relays) + replayed;
    if case.republished.is_empty() && repeats > most {
        found
            .system(None, format!("{topic:?} repeats {repeats} of {events} events, where {most} are the most allowed"));
    }
}
