//! C1: what was accepted is there, exactly once and as it was accepted.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::{Case, Identity, OrderCase},
    compare,
    figures::accepted,
    history::{NewOrder, Order, Topic},
    verdict::Findings,
};

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
    for order_id in accepted(case) {
        if let Some(order) = case.order(order_id).filter(|order| case.drained() && order.row().is_some()) {
            published(found, order_id, order);
        }
    }
    numbers(case, found);
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

/// Numbers name orders, so no two have the same.
fn numbers(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut taken: BTreeMap<i64, &str> = BTreeMap::new();
    for row in case.orders.values().filter_map(OrderCase::row) {
        if let Some(other) = taken.insert(row.number, &row.order_id) {
            found.order(&row.order_id, format!("number {} is also the number of {other}", row.number));
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
