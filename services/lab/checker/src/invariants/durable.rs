//! C1: what was accepted is there, exactly once and as it was accepted.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::{Attempt, Case, Identity, OrderCase, Outcome},
    compare,
    findings::Findings,
    history::{NewOrder, Order, Topic},
};

type Create<'a> = Attempt<'a, &'a NewOrder, &'a Order>;

/// Looks for accepted orders that are lost, doubled or changed.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut owners: BTreeMap<&str, Identity<'_>> = BTreeMap::new();
    for attempt in &case.creates {
        let Some(shown) = attempt.shown() else { continue };
        let owner = *owners.entry(&shown.order_id).or_insert_with(|| attempt.identity());
        if owner != attempt.identity() {
            let identities = format!("{owner:?} and {:?}", attempt.identity());
            found.at(&shown.order_id, attempt.sent_us, format!("one order answers two requests: {identities}"));
        }
        row(case, found, attempt.sent_us, shown, attempt.asked);
    }
    for order_id in case.accepted() {
        if let Some(order) = case.order(order_id).filter(|order| case.drained() && order.row().is_some()) {
            published(found, order_id, order);
        }
    }
    numbers(case, found);
    rising(case, found);
    forgotten(case, found);
}

/// The row of an order that was answered.
fn row(case: &Case<'_>, found: &mut Findings<'_, '_>, at_us: u64, shown: &Order, asked: &NewOrder) {
    let rows = case.order(&shown.order_id).map_or(&[][..], |order| &order.rows);
    let &[row] = rows else {
        return found.at(&shown.order_id, at_us, format!("accepted, and has {} rows instead of one", rows.len()));
    };
    if let Some(difference) = compare::order(shown, row) {
        found.at(&shown.order_id, at_us, format!("the answer differs from the row: {difference}"));
    }
    if let Some(difference) = compare::request(asked, row) {
        found.at(&shown.order_id, at_us, format!("the row differs from what was accepted: {difference}"));
    }
}

/// Version 1 of an accepted order, on both topics and in its history.
fn published(found: &mut Findings<'_, '_>, order_id: &str, order: &OrderCase<'_>) {
    if order.placed.is_empty() {
        found.order(order_id, format!("accepted, and never on the topic of {:?}", Topic::Orders));
    }
    let first = order.logs().into_values().flatten().any(|(_, _, transition)| transition.version == 1);
    if !first {
        found.order(order_id, format!("accepted, and its version 1 never on the topic of {:?}", Topic::Transitions));
    }
    if order.step(1).is_none() {
        found.order(order_id, "accepted, and its history has no version 1");
    }
}

/// Numbers name orders, so no two of a tenant have the same.
fn numbers(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut taken: BTreeMap<(&str, i64), &str> = BTreeMap::new();
    for row in case.orders.values().filter_map(OrderCase::row) {
        if let Some(other) = taken.insert((&row.tenant, row.number), &row.order_id) {
            found.order(&row.order_id, format!("number {} is also the number of {other}", row.number));
        }
    }
}

/// Numbers rise: an order that was asked for after another was answered has the higher number.
fn rising(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let made = |attempt: &&Create<'_>| matches!(attempt.outcome, Outcome::Ok { replayed: false, .. });
    let mut by_sent: Vec<_> = case.creates.iter().filter(made).collect();
    let mut by_done = by_sent.clone();
    by_sent.sort_by_key(|attempt| attempt.sent_us);
    by_done.sort_by_key(|attempt| attempt.done_us);
    let (mut answered, mut highest) = (by_done.into_iter().peekable(), BTreeMap::<&str, i64>::new());
    for attempt in by_sent {
        while let Some(before) = answered.next_if(|before| before.done_us < attempt.sent_us) {
            let highest = highest.entry(before.tenant).or_default();
            *highest = before.shown().map_or(0, |order| order.number).max(*highest);
        }
        let Some(order) = attempt.shown() else { continue };
        if let Some(highest) = highest.get(attempt.tenant).filter(|highest| order.number < **highest) {
            let evidence =
                format!("has number {}, though {highest} was answered before it was asked for", order.number);
            found.at(&order.order_id, attempt.sent_us, evidence);
        }
    }
}

/// An order that a client has seen is found ever after.
fn forgotten(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut told = BTreeSet::new();
    for read in case.reads.iter().filter(|read| read.code == "NOT_FOUND") {
        let known = case.order(read.order_id).is_some_and(|order| order.seen_before(read.sent_us, 1));
        if known && told.insert(read.order_id) {
            found.at(read.order_id, read.done_us, "answered NOT_FOUND after a client had seen it");
        }
    }
}
