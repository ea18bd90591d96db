//! One chain of streams, and what it has shown of each order.

use std::collections::{HashMap, HashSet};

use super::{Tell, Told, index::Known};
use crate::{
    case::{Case, Kind, OrderCase, Stream},
    compare,
    history::{Event, Order, Start, Transition},
};

/// A chain up to one of its streams.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// The last stream.
    pub tip: u64,
    /// Only orders of this tenant.
    pub tenant: &'a str,
    /// Only orders of this customer; empty means all.
    pub customer_id: &'a str,
    /// Per order: the first version shown and the last.
    pub shown: HashMap<&'a str, (i64, i64)>,
    /// Orders that were created by calls sent after this time must be shown from version 1 on.
    pub from_us: Option<u64>,
    /// The orders of the snapshot that it began with, where it did.
    pub snapshot: Option<HashSet<&'a str>>,
    /// Transitions that had been shown before.
    pub repeats: u64,
}

impl<'a> Chain<'a> {
    /// A chain before its first stream has shown anything.
    pub fn new(stream: &Stream<'a>) -> Self {
        let (customer_id, snapshot) = match stream.kind {
            Kind::All { customer_id, start } => (customer_id, (*start == Start::Snapshot).then(HashSet::new)),
            Kind::One { order_id: only, .. } | Kind::Courier { courier_id: only } => (only, None),
        };
        let (tip, tenant) = (stream.stream, stream.tenant);
        Self { tip, tenant, customer_id, shown: HashMap::new(), from_us: None, snapshot, repeats: 0 }
    }

    /// Whether an order is one that it shows.
    pub fn wants(&self, known: &Known<'_, '_>) -> bool {
        self.tenant == known.tenant && (self.customer_id.is_empty() || self.customer_id == known.customer_id)
    }

    /// Adds what a stream showed.
    pub fn follow(&mut self, case: &Case<'a>, stream: &Stream<'a>, tell: Tell<'_, 'a>) {
        self.tip = stream.stream;
        let snapshot = matches!(stream.kind, Kind::All { start: Start::Snapshot, .. });
        let mut in_snapshot = snapshot;
        for (place, &(at_us, event)) in stream.events.iter().enumerate() {
            let problem = match event {
                Event::Transition { .. } | Event::Heartbeat { .. } if in_snapshot => {
                    Some((None, "shows something else before its snapshot was complete".into()))
                }
                Event::Current { .. } | Event::SnapshotComplete if !in_snapshot => {
                    Some((None, "shows a snapshot that is over or was not asked for".into()))
                }
                Event::Transition { .. } if place == 0 => Some((None, "does not begin with a heartbeat".into())),
                Event::Transition { transition } => self
                    .transition(case, at_us, transition)
                    .map(|problem| (Some(transition.order_id.as_str()), problem)),
                Event::Current { order } => {
                    self.current(case, order).map(|problem| (Some(order.order_id.as_str()), problem))
                }
                Event::Heartbeat { version: 0 } | Event::SnapshotComplete => None,
                Event::Heartbeat { version } => Some((None, format!("a heartbeat tells version {version}"))),
                Event::Courier { .. } | Event::Jobs { .. } => {
                    Some((None, "shows something of a courier, which a stream of many orders never does".into()))
                }
            };
            if let Some((order_id, problem)) = problem {
                let problem = format!("stream {}: {problem}", stream.stream);
                tell(Told::Wrong { order_id, at_us, problem });
            }
            in_snapshot &= *event != Event::SnapshotComplete;
            if !in_snapshot {
                self.from_us.get_or_insert(at_us);
            }
        }
    }

    fn transition(&mut self, case: &Case<'a>, at_us: u64, transition: &'a Transition) -> Option<String> {
        let version = transition.version;
        let before = self.shown.get(transition.order_id.as_str()).copied();
        match before {
            Some((_, last)) if version <= last => self.repeats += 1,
            Some((first, _)) => _ = self.shown.insert(&transition.order_id, (first, version)),
            None => _ = self.shown.insert(&transition.order_id, (version, version)),
        }
        let is_past = || case.order(&transition.order_id).is_some_and(|order| self.is_past(order, version));
        let is_excused = || published_again(case, at_us) || is_past();
        if let Some((_, last)) = before.filter(|(_, last)| version > last + 1 && !is_excused()) {
            return Some(format!("version {version} comes with a hole after {last}"));
        }
        let order = case.order(&transition.order_id)?;
        let problem = match order.step(version) {
            Some(kept) => compare::transition(transition, kept),
            None => Some("its history does not have it".into()),
        };
        problem
            .or_else(|| self.foreign(case, &transition.order_id))
            .map(|problem| format!("version {version}: {problem}"))
    }

    fn current(&mut self, case: &Case<'a>, now: &'a Order) -> Option<String> {
        self.shown.insert(&now.order_id, (now.version, now.version));
        if !self.snapshot.get_or_insert_default().insert(&now.order_id) {
            return Some("is twice in the snapshot".into());
        }
        if now.phase != "active" {
            return Some(format!("is in the snapshot with phase {}", now.phase));
        }
        let order = case.order(&now.order_id)?;
        let nothing = order.is_nothing().then(|| "nothing of it is there".into());
        let row = nothing.or_else(|| compare::order(now, order.row()?));
        let state = || compare::state(now, order.step(now.version)?);
        row.or_else(state)
            .or_else(|| self.foreign(case, &now.order_id))
            .map(|problem| format!("in the snapshot: {problem}"))
    }

    /// Whether an order was known to have come so far before the chain began: old records that come again may come in parts.
    pub fn is_past(&self, order: &OrderCase<'_>, version: i64) -> bool {
        self.from_us.is_some_and(|from_us| order.seen_before(from_us, version))
    }

    fn foreign(&self, case: &Case<'_>, order_id: &str) -> Option<String> {
        let row = case.order(order_id)?.row()?;
        let foreign = !self.customer_id.is_empty() && row.customer_id != self.customer_id;
        foreign.then(|| format!("is of customer {}, the filter is {}", row.customer_id, self.customer_id))
    }
}

/// For this long after everything was published again a stream may miss something; then it must have noticed and ended.
const NOTICED_WITHIN_US: u64 = 10_000_000;

/// Whether a log was lost and published again a moment ago.
fn published_again(case: &Case<'_>, at_us: u64) -> bool {
    case.republished.iter().any(|told_us| (*told_us..=told_us + NOTICED_WITHIN_US).contains(&at_us))
}

/// Whether a stream ended with a code that it may have.
pub fn end<'a>(stream: &Stream<'a>, tell: Tell<'_, 'a>) {
    let Some((at_us, code, reason)) = stream.end else { return };
    let too_large = reason == Some("SNAPSHOT_TOO_LARGE");
    if matches!(code, "OK" | "INVALID_ARGUMENT" | "NOT_FOUND") || code == "FAILED_PRECONDITION" && !too_large {
        let problem = format!("stream {} ended with {code} ({reason:?}), which it never may", stream.stream);
        tell(Told::Wrong { order_id: None, at_us, problem });
    }
}
