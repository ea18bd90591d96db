//! Whether a chain showed all that lies in its reach.

use std::collections::HashMap;

use super::{
    chain::Chain,
    index::{Index, Known},
};
use crate::{
    case::{Case, Kind},
    findings::Findings,
    history::{Start, Topic},
    invariants::watch::lived_on,
};

/// How far two clocks may drift apart in a run, in microseconds.
const DRIFT_US: i64 = 250_000;
/// An order that moved so shortly before or after a snapshot was read may have moved while it was read.
const AROUND_US: i64 = 100_000;

/// Looks for what a chain left out.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>, chain: &Chain<'_>, index: &Index<'_, '_>) {
    beginnings(case, found, chain, index);
    if case.streams.get(&chain.tip).is_some_and(|tip| lived_on(case, tip)) {
        ends(found, chain, index);
    }
    snapshot(case, found, chain, index);
    between(case, found, chain, index);
}

/// The orders that a chain shows.
fn wanted<'i, 'c, 'a>(chain: &'i Chain<'_>, index: &'i Index<'c, 'a>) -> impl Iterator<Item = &'i Known<'c, 'a>> {
    index.matching(chain.customer_id).filter(|known| chain.wants(known))
}

/// What is younger than the chain is shown from its first version on.
fn beginnings(case: &Case<'_>, found: &mut Findings<'_, '_>, chain: &Chain<'_>, index: &Index<'_, '_>) {
    // A lost log may hide the beginning of an order; which moment that was is not known here.
    if !case.republished.is_empty() {
        return;
    }
    for (order_id, (first, _)) in chain.shown.iter().filter(|(_, (first, _))| *first > 1) {
        if index.get(order_id).is_some_and(|known| chain.wants(known) && known.is_younger_than(chain.from_us)) {
            found.order(
                order_id,
                format!("the chain to stream {} began before it, and shows it from version {first} on", chain.tip),
            );
        }
    }
}

/// A chain that was read to the end of the run has shown each order to its last version, unless that was there before it.
fn ends(found: &mut Findings<'_, '_>, chain: &Chain<'_>, index: &Index<'_, '_>) {
    for known in wanted(chain, index) {
        let Some(end) = known.order.last() else { continue };
        match chain.shown.get(known.order_id) {
            Some((_, last)) if *last < end.version && !chain.is_past(known.order, end.version) => {
                let evidence = format!(
                    "the chain to stream {} was read to the end of the run, and shows it to version {last} of {}",
                    chain.tip, end.version
                );
                found.order(known.order_id, evidence);
            }
            None if known.is_younger_than(chain.from_us) => found.order(
                known.order_id,
                format!("the chain to stream {} began before it, and never shows it", chain.tip),
            ),
            _ => {}
        }
    }
}

/// An order that was there before the snapshot was asked for, and had not ended when it was complete, is in it. Two kinds may follow with
/// their next transition instead: those that were not adopted yet, and those that moved while the snapshot was read.
fn snapshot(case: &Case<'_>, found: &mut Findings<'_, '_>, chain: &Chain<'_>, index: &Index<'_, '_>) {
    let (Some(complete_us), Some(lead_us)) = (chain.from_us, case.lead_us) else { return };
    let (Some(listed), Some(opened_us)) = (&chain.snapshot, root(case, chain.tip)) else { return };
    let latest_us = i64::try_from(complete_us).unwrap_or(i64::MAX).saturating_add(lead_us + DRIFT_US);
    let lived = |known: &&Known<'_, '_>| {
        known.seen_us.is_some_and(|seen_us| seen_us < opened_us)
            && known.ended_us.is_some_and(|at_us| at_us > latest_us)
    };
    for known in wanted(chain, index).filter(lived).filter(|known| !listed.contains(known.order_id)) {
        let earliest_us = i64::try_from(opened_us).unwrap_or(i64::MAX).saturating_add(lead_us - AROUND_US);
        let around = earliest_us..=latest_us - DRIFT_US + AROUND_US;
        let moved = known.order.steps.iter().any(|step| around.contains(&step.transition.time_us));
        let is_new = match chain.shown.get(known.order_id) {
            Some((first, _)) => *first == 1,
            None => !known.order.seen_before(opened_us, 2),
        };
        if !(is_new || moved) {
            let tip = chain.tip;
            let evidence = format!("had not ended, and is not in the snapshot of the chain to stream {tip}");
            found.order(known.order_id, evidence);
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
fn between(case: &Case<'_>, found: &mut Findings<'_, '_>, chain: &Chain<'_>, index: &Index<'_, '_>) {
    if case.logs.get(&Topic::Transitions) != Some(&1) {
        return;
    }
    let is_left_out = |known: &Known<'_, '_>, version: i64| match chain.shown.get(known.order_id) {
        Some((first, last)) => !(first..=last).contains(&&version) && (chain.snapshot.is_none() || version >= *first),
        None => true,
    };
    for (partition, reach) in reach(chain, index) {
        for (known, places) in index.between(partition, reach) {
            let version = places.version;
            if chain.wants(known) && is_left_out(known, version) {
                let tip = chain.tip;
                let evidence =
                    format!("the chain to stream {tip} leaves out version {version}, which lies in its reach");
                found.order(known.order_id, evidence);
            }
        }
    }
}

/// Of each partition: the offsets between which nothing may be missing.
fn reach(chain: &Chain<'_>, index: &Index<'_, '_>) -> HashMap<i32, (i64, i64)> {
    let mut reach: HashMap<i32, (i64, i64)> = HashMap::new();
    for (order_id, &(first, last)) in &chain.shown {
        // An unreadable record makes the server tell the order from its history, at any place.
        let Some(known) = index.get(order_id).filter(|_| !index.is_strange(order_id)) else { continue };
        // The first version may come from a snapshot, which has no place.
        let from = if chain.snapshot.is_some() { first + 1 } else { first };
        for places in known.places.iter().filter(|places| (from..=last).contains(&places.version)) {
            let (low, high) = reach.entry(places.partition).or_insert((places.last, places.first));
            (*low, *high) = ((*low).min(places.last), (*high).max(places.first));
        }
    }
    reach
}
