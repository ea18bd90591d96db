//! C9: what was consumed was dealt with; only what was planted was put aside; what repairs others' faults was idle without one.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::{Case, OrderCase, Strange},
    findings::Findings,
    history::{Topic, What},
};

/// Counters of what repairs the effect of a fault. They stay at 0 in a run without faults.
const REPAIRS: &[&str] = &[
    "comanda_watch_repairs_total",
    "comanda_watch_rewinds_total",
    "comanda_watch_gaps_total",
    "comanda_watch_lost_records_total",
    "comanda_mail_holes_total",
    "comanda_lost_logs_total",
    "comanda_dangling_pointers_total",
    "comanda_mails_too_old_total",
];

/// Looks at lags, dead letters and repairs.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    if case.drained() {
        lags(case, found);
    }
    dead_letters(case, found);
    if case.calm() {
        repairs(case, found);
    }
}

fn lags(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for (group, topic, partition, records) in case.pick(|line| match &line.what {
        What::Lag { group, topic, partition, records } if *records != 0 => Some((group, topic, partition, records)),
        _ => None,
    }) {
        let evidence =
            format!("group {group} is {records} records behind on {topic:?} {partition}, though all had come to rest");
        found.system(None, evidence);
    }
}

fn dead_letters(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let places = dead_letter_places(case);
    let strange: BTreeSet<_> =
        case.strange_records.iter().map(|record| (record.topic, record.place.partition, record.place.offset)).collect();
    for (place, (service, reason)) in &places {
        // Of a log that was lost no record is left to compare with.
        if !strange.contains(place) && case.logs.get(&place.0).is_none_or(|logs| *logs == 1) {
            found.system(None, format!("{service} has a dead letter {place:?} ({reason}), which nobody had planted"));
        }
    }
    for Strange { topic, place, key, why } in &case.strange_records {
        let read = *topic == Topic::Orders || case.run.is_some_and(|run| run.mails);
        // The key of an order is as good as the record: its reader looks the order up.
        let looked_up = case.order(key).and_then(OrderCase::row).is_some();
        let dead_letters = places.contains_key(&(*topic, place.partition, place.offset));
        // What lay in a lost log may have been lost unread.
        let lies_there = case.logs.get(topic).is_none_or(|logs| *logs == place.log);
        if why.is_none() && case.drained() && read && lies_there && !looked_up && !dead_letters {
            found.system(
                None,
                format!("the record planted at {topic:?} {place:?}, key {key:?}, never became a dead letter"),
            );
        }
    }
}

type Places<'a> = BTreeMap<(Topic, i32, i64), (&'a str, &'a str)>;

fn dead_letter_places<'a>(case: &Case<'a>) -> Places<'a> {
    let rows = case.pick(|line| match &line.what {
        What::DeadLetterRow { service, topic, partition, offset, reason } => {
            let topic = match topic.as_str() {
                topic if topic.contains("transitions") => Topic::Transitions,
                topic if topic.contains("assignments") => Topic::Assignments,
                _ => Topic::Orders,
            };
            Some(((topic, *partition, *offset), (service.as_str(), reason.as_str())))
        }
        _ => None,
    });
    rows.collect()
}

fn repairs(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for (process, name, value) in case.pick(|line| match &line.what {
        What::Counter { process, name, value } if *value > 0.0 => Some((process, name, value)),
        _ => None,
    }) {
        if REPAIRS.iter().any(|repair| name.starts_with(repair)) {
            found.system(None, format!("{process} repaired something in a run without faults: {name} = {value}"));
        }
    }
}
