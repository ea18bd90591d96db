//! How long it takes after a fault until all goes as before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    case::{Case, Fault},
    history::{Event, What},
};

/// The mean before a fault is of so many seconds.
const BEFORE_S: usize = 10;
/// As before: this share of the mean before, in percent, ..
const SHARE_PERCENT: u64 = 90;
/// .. over so many seconds in a row.
const WINDOW_S: usize = 2;

/// Of all faults of a kind: the time from the heal until accepted orders and shown transitions were back, whatever other faults came
/// meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// Faults after which all went as before.
    pub recovered: u64,
    /// Faults after which that could not be seen: there was no traffic before, or the run ended first.
    pub unseen: u64,
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: u64,
    /// None took longer, in milliseconds.
    pub max_ms: u64,
}

/// Accepted orders in each second of the run.
pub fn accepted_per_second(case: &Case<'_>) -> Vec<u32> {
    // The answer is what a client sees of an order first, or near enough.
    let first_seen = |order_id: &str| Some(case.order(order_id)?.sightings.first()?.seen_us);
    per_second(case, case.accepted().into_iter().filter_map(first_seen))
}

fn shown_per_second(case: &Case<'_>) -> Vec<u32> {
    per_second(
        case,
        case.pick(|line| match &line.what {
            What::Event { event: Event::Transition { .. }, .. } => Some(line.at_us),
            _ => None,
        }),
    )
}

fn per_second(case: &Case<'_>, times_us: impl Iterator<Item = u64>) -> Vec<u32> {
    let mut seconds = vec![0; second(case.end_us) + 1];
    times_us.for_each(|at_us| seconds[second(at_us)] += 1);
    seconds
}

fn second(at_us: u64) -> usize {
    usize::try_from(at_us / 1_000_000).unwrap_or(usize::MAX)
}

/// The recovery of each kind of fault.
pub fn by_kind(case: &Case<'_>) -> BTreeMap<String, Recovery> {
    let series = [accepted_per_second(case), shown_per_second(case)];
    let until_us = case.last_heal_us.unwrap_or(case.end_us);
    let mut times_ms: BTreeMap<String, Vec<Option<u64>>> = BTreeMap::new();
    for fault in case.made_faults() {
        times_ms.entry(fault.name.into()).or_default().push(recovery_ms(&series, fault, until_us));
    }
    times_ms.into_iter().map(|(name, times_ms)| (name, summary(times_ms))).collect()
}

fn recovery_ms(series: &[Vec<u32>], fault: &Fault<'_>, until_us: u64) -> Option<u64> {
    let each = series.iter().map(|seconds| back_at(seconds, fault, until_us));
    let last = each.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    Some((last as u64 * 1_000_000).saturating_sub(fault.to_us) / 1000)
}

/// The first second after the heal from which on this goes as before.
fn back_at(seconds: &[u32], fault: &Fault<'_>, until_us: u64) -> Option<usize> {
    let from = second(fault.from_us);
    let before = &seconds[from.saturating_sub(BEFORE_S)..from];
    let (sum, length) = (total(before), before.len() as u64);
    if sum == 0 {
        return None;
    }
    let as_before = |window: &[u32]| total(window) * length * 100 >= sum * SHARE_PERCENT * WINDOW_S as u64;
    (second(fault.to_us)..second(until_us)).find(|&at| seconds.get(at..at + WINDOW_S).is_some_and(as_before))
}

fn total(seconds: &[u32]) -> u64 {
    seconds.iter().map(|count| u64::from(*count)).sum()
}

fn summary(times_ms: Vec<Option<u64>>) -> Recovery {
    let count = times_ms.len();
    let mut seen: Vec<u64> = times_ms.into_iter().flatten().collect();
    seen.sort_unstable();
    Recovery {
        recovered: seen.len() as u64,
        unseen: (count - seen.len()) as u64,
        p50_ms: seen.get(seen.len() / 2).copied().unwrap_or_default(),
        max_ms: seen.last().copied().unwrap_or_default(),
    }
}
