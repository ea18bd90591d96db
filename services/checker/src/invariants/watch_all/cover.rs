//! Whether a chain showed all that lies in its reach.

use std::collections::{HashMap, HashSet};

use super::chain::Chain;
use crate::{
    case::{Case, Kind, OrderCase},
    history::{RecordContent, Start, Topic},
    invariants::watch::lived_on,
    verdict::Findings,
};

/// How far two clocks may drift apart in a run, in microseconds.
const DRIFT_US: i64 = 250_000;

/// Looks for what a chain left out.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>, chain: &Chain<'_>, created: &Created<'_>) {
    let lived_on = case.streams.get(&chain.tip).is_some_and(|tip| lived_on(case, tip));
    for (order_id, order) in matching(case, chain) {
        let shown = chain.shown.get(order_id).copied();
        if lived_on {
            to_the_end(found, chain, order_id, order, shown);
        }
        let young =
            chain.from_us.zip(created.get(*order_id).copied()).is_some_and(|(from_us, (sent_us, _))| sent_us > from_us);
        match shown {
            // A lost log may hide the beginning of an order; which moment that was is not known here.
            Some((first, _)) if young && first > 1 && case.republished.is_empty() => {
                found.order(
                    order_id,
                    format!("the chain to stream {} began before it, and shows it from version {first} on", chain.tip),
                );
            }
            None if young && lived_on && order.last().is_some() => {
                found.order(order_id, format!("the chain to stream {} began before it, and never shows it", chain.tip));
            }
            _ => {}
        }
    }
    snapshot(case, found, chain, created);
    between(case, found, chain);
}

fn matching<'c, 'a>(case: &'c Case<'a>, chain: &Chain<'_>) -> impl Iterator<Item = (&'c &'a str, &'c OrderCase<'a>)> {
    let customer_id = chain.customer_id.to_owned();
    case.orders.iter().filter(move |(_, order)| {
        order.row().is_some_and(|row| customer_id.is_empty() || row.customer_id == customer_id)
    })
}

/// When an order was first asked for, and when it was first seen.
pub type Created<'a> = HashMap<&'a str, (u64, u64)>;

/// Of each order that somebody asked for: the earliest try that may have made it counts.
pub fn created<'a>(case: &Case<'a>) -> Created<'a> {
    let mut asked: HashMap<&str, u64> = HashMap::new();
    for attempt in case.creates.iter().filter(|attempt| attempt.may_have_applied()) {
        let sent_us = asked.entry(&attempt.asked.customer_id).or_insert(attempt.sent_us);
        *sent_us = attempt.sent_us.min(*sent_us);
    }
    let orders = case.orders.iter().filter_map(|(order_id, order)| {
        let sent_us = asked.get(order.row()?.customer_id.as_str())?;
        let seen_us = order.sightings.first().map_or(u64::MAX, |seen| seen.seen_us);
        Some((*order_id, (*sent_us, seen_us)))
    });
    orders.collect()
}

fn to_the_end(
    found: &mut Findings<'_, '_>,
    chain: &Chain<'_>,
    order_id: &str,
    order: &OrderCase<'_>,
    shown: Option<(i64, i64)>,
) {
    let (Some((_, last)), Some(end)) = (shown, order.last()) else { return };
    if last < end.version {
        let evidence = format!(
            "the chain to stream {} was read to the end of the run, and shows it to version {last} of {}",
            chain.tip, end.version
        );
        found.order(order_id, evidence);
    }
}

/// An order that was there before the snapshot was asked for, and had not ended when it was complete, is in it. One that nobody had
/// looked at yet may follow with its first transition instead.
fn snapshot(case: &Case<'_>, found: &mut Findings<'_, '_>, chain: &Chain<'_>, created: &Created<'_>) {
    let (Some(complete_us), Some(lead_us)) = (chain.from_us, case.lead_us) else { return };
    let (Some(listed), Some(opened_us)) = (&chain.snapshot, root(case, chain.tip)) else { return };
    let latest_us = i64::try_from(complete_us).unwrap_or(i64::MAX).saturating_add(lead_us + DRIFT_US);
    for (order_id, order) in matching(case, chain).filter(|(order_id, _)| !listed.contains(*order_id)) {
        let there = created.get(order_id).is_some_and(|(_, seen_us)| *seen_us < opened_us);
        let alive = order.last().is_some_and(|last| last.phase != "active" && last.time_us > latest_us);
        let followed = match chain.shown.get(order_id) {
            Some((first, _)) => *first == 1,
            None => !order.seen_before(opened_us, 2),
        };
        if there && alive && !followed {
            let tip = chain.tip;
            found.order(order_id, format!("had not ended, and is not in the snapshot of the chain to stream {tip}"));
        }
    }
}

/// When the first stream of a chain was opened.
fn root(case: &Case<'_>, tip: u64) -> Option<u64> {
    let stream = case.streams.get(&tip)?;
    match stream.kind {
        Kind::All { start: Start::Token { of }, .. } if *of != tip => root(case, *of),
        _ => Some(stream.opened_us),
    }
}

/// Between two records that a chain showed, it showed all the others of their partition.
///
/// A transition that was shown may have been read at any of its occurrences: surely within reach is what lies after the earliest
/// last occurrence and before the latest first one. Only for topics whose log was never lost: the places of a lost one are gone.
fn between(case: &Case<'_>, found: &mut Findings<'_, '_>, chain: &Chain<'_>) {
    if case.logs.get(&Topic::Transitions) != Some(&1) {
        return;
    }
    let mut reach: HashMap<i32, (i64, i64)> = HashMap::new();
    let strange: HashSet<&str> = case.strange_records.iter().map(|record| record.key).collect();
    for (order_id, &(first, last)) in &chain.shown {
        // An unreadable record makes the server tell the order from its history, at any place.
        let Some(order) = case.order(order_id).filter(|_| !strange.contains(order_id)) else { continue };
        for version in first..=last {
            // The first version may come from a snapshot, which has no place.
            if let Some((partition, from, to)) =
                places(order, version).filter(|_| version > first || chain.snapshot.is_none())
            {
                let (low, high) = reach.entry(partition).or_insert((to, from));
                (*low, *high) = ((*low).min(to), (*high).max(from));
            }
        }
    }
    for (order_id, order) in matching(case, chain) {
        let (first, last) = chain.shown.get(order_id).copied().unwrap_or((i64::MAX, 0));
        for step in &order.steps {
            let version = step.transition.version;
            let Some((partition, from, to)) = places(order, version) else { continue };
            let within = reach.get(&partition).is_some_and(|(low, high)| from > *low && to < *high);
            if within
                && !(first..=last).contains(&version)
                && !(chain.snapshot.is_some() && version < first && first != i64::MAX)
            {
                found.order(
                    order_id,
                    format!("the chain to stream {} leaves out version {version}, which lies in its reach", chain.tip),
                );
            }
        }
    }
}

/// Partition, first and last offset of a version.
fn places(order: &OrderCase<'_>, version: i64) -> Option<(i32, i64, i64)> {
    let mut places = order.transitions.iter().filter_map(|record| match record.content {
        RecordContent::Transition { transition } if transition.version == version => Some(record.place),
        _ => None,
    });
    let first = places.next()?;
    let last = places.next_back().unwrap_or(first);
    Some((first.partition, first.offset, last.offset))
}
