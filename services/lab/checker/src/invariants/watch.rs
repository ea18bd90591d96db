//! C7, one order: a stream shows every version after the one it was told, once, in order and as it was, to the end.

use crate::{
    case::{Case, Kind, OrderCase, Stream},
    compare,
    findings::Findings,
    history::{Event, Order, Transition},
};

/// A reader that leaves so long after the rest, in microseconds, must have been shown everything.
pub const PATIENCE_US: u64 = 2_000_000;

/// What a stream has shown so far.
struct Shown {
    version: i64,
    current: bool,
    ended: bool,
}

/// Looks at each stream of one order.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for stream in case.streams.values() {
        let Kind::One { order_id, after_version } = stream.kind else { continue };
        let nothing = OrderCase::default();
        let order = case.order(order_id).unwrap_or(&nothing);
        // Who comes back after the end may be told that and nothing more.
        let ended = order.step(after_version).is_some_and(|step| step.phase != "active");
        let mut shown = Shown { version: after_version, current: false, ended };
        for (at_us, event) in &stream.events {
            if let Some(problem) = take(&mut shown, order_id, order, event) {
                found.at(order_id, *at_us, format!("stream {}: {problem}", stream.stream));
                // What follows a broken place is judged from there on.
                shown.version = version(event).unwrap_or(shown.version);
            }
        }
        if let Some((at_us, problem)) = end(case, stream, order, after_version, &shown) {
            found.at(order_id, at_us, format!("stream {} after version {}: {problem}", stream.stream, shown.version));
        }
    }
}

/// Whether a stream was still read some time after everything had come to rest.
pub fn lived_on(case: &Case<'_>, stream: &Stream<'_>) -> bool {
    let rest = case.drained_us.map(|drained_us| drained_us + PATIENCE_US);
    rest.is_some_and(|rest| stream.left_by_reader() && stream.end_us(case.end_us) >= rest)
}

fn version(event: &Event) -> Option<i64> {
    match event {
        Event::Transition { transition } => Some(transition.version),
        Event::Current { order } => Some(order.version),
        _ => None,
    }
}

fn take(shown: &mut Shown, order_id: &str, order: &OrderCase<'_>, event: &Event) -> Option<String> {
    match event {
        Event::Transition { transition } => next(shown, order_id, order, transition),
        Event::Current { order: now } => current(shown, order_id, order, now),
        Event::Heartbeat { version } => {
            (*version != shown.version).then(|| format!("a heartbeat tells version {version} after {}", shown.version))
        }
        // When it may be shown is judged by C13.
        Event::Courier { .. } => None,
        Event::SnapshotComplete => Some("a stream of one order has no snapshot".into()),
        Event::Jobs { .. } => Some("a stream of one order has no jobs".into()),
    }
}

fn next(shown: &mut Shown, order_id: &str, order: &OrderCase<'_>, transition: &Transition) -> Option<String> {
    let (before, version) = (shown.version, transition.version);
    let ended = std::mem::replace(&mut shown.ended, transition.phase != "active");
    if transition.order_id != order_id {
        return Some(format!("shows version {version} of another order, {}", transition.order_id));
    }
    if version != before + 1 {
        let what = if version <= before { "again" } else { "with a hole" };
        return Some(format!("version {version} comes {what} after {before}"));
    }
    shown.version = version;
    if ended {
        return Some(format!("version {version} comes after the end"));
    }
    let problem = match order.step(version) {
        Some(kept) => compare::transition(transition, kept),
        None if version == 1 && order.row().is_some() => None,
        None => Some("its history does not have it".into()),
    };
    problem.map(|problem| format!("version {version}: {problem}"))
}

fn current(shown: &mut Shown, order_id: &str, order: &OrderCase<'_>, now: &Order) -> Option<String> {
    let twice = std::mem::replace(&mut shown.current, true);
    shown.ended |= now.phase != "active";
    if now.order_id != order_id {
        return Some(format!("shows another order as the current one, {}", now.order_id));
    }
    if twice {
        return Some("shows `current` twice".into());
    }
    if now.version != shown.version {
        return Some(format!("`current` has version {} after {}", now.version, shown.version));
    }
    let row = order.row().and_then(|row| compare::order(now, row));
    row.or_else(|| compare::state(now, order.step(now.version)?)).map(|problem| format!("`current`: {problem}"))
}

/// Whether the stream may end as it did, having shown what it has.
fn end(
    case: &Case<'_>,
    stream: &Stream<'_>,
    order: &OrderCase<'_>,
    after: i64,
    shown: &Shown,
) -> Option<(u64, String)> {
    let complete = order.last().is_none_or(|last| last.phase == "active" || last.version <= shown.version);
    if lived_on(case, stream) && !complete {
        let at_us = stream.end_us(case.end_us);
        return Some((at_us, "was read to the end of the run and never told the order's end".into()));
    }
    let (at_us, code, reason) = stream.end?;
    let problem = match code {
        "OK" if !(shown.ended && complete) => "ended with OK before the order's end",
        "FAILED_PRECONDITION" if order.seen_before(stream.opened_us, after) => {
            "refused as ahead of a version that a client had seen before"
        }
        "NOT_FOUND" if order.seen_before(stream.opened_us, 1) => "not found, after a client had seen it",
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" => "ended with a code that it never has",
        _ => return None,
    };
    Some((at_us, format!("{problem} ({code}, {reason:?})")))
}
