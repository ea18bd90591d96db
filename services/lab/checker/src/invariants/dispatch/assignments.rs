//! C13, who has what: an order has one courier at a time, a courier no more than it takes, and an end is an end.

use std::collections::BTreeMap;

use super::{RELEASE_US, SLACK_US, spell::Spell};
use crate::{
    case::{Case, OrderCase},
    findings::Findings,
    history::AssignmentRow,
};

/// Looks at every assignment.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for (order_id, order) in &case.orders {
        let problems = [attempts(order), together(order), job(case, order)].into_iter().flatten();
        problems.for_each(|problem| found.order(order_id, problem));
        for problem in order.assignments.iter().filter_map(|row| late(case, order, row)) {
            found.order(order_id, problem);
        }
    }
    slots(case, found);
}

fn attempts(order: &OrderCase<'_>) -> Option<String> {
    let attempts: Vec<i32> = order.assignments.iter().map(|row| row.attempt).collect();
    let is_dense = attempts.iter().copied().eq(1..=attempts.len() as i32);
    (!is_dense).then(|| format!("has the attempts {attempts:?} instead of 1 to {}", attempts.len()))
}

/// One begins after the one before has ended.
fn together(order: &OrderCase<'_>) -> Option<String> {
    let mut pairs = order.assignments.windows(2);
    let pair = pairs.find(|pair| overlap(pair[0], pair[1]))?;
    Some(format!("was given to {} while {} had it: {}", pair[1].courier_id, pair[0].courier_id, both(pair[0], pair[1])))
}

fn both(one: &AssignmentRow, other: &AssignmentRow) -> String {
    let span =
        |row: &AssignmentRow| format!("attempt {} from {} to {:?}", row.attempt, row.create_time_us, row.end_time_us);
    format!("{}, {}", span(one), span(other))
}

/// Whether the second begins before the first has ended.
fn overlap(one: &AssignmentRow, other: &AssignmentRow) -> bool {
    one.end_time_us.is_none_or(|end_us| end_us > other.create_time_us + SLACK_US)
}

/// What dispatch keeps of a job is what the order and its assignments are.
fn job(case: &Case<'_>, order: &OrderCase<'_>) -> Option<String> {
    let (job, last) = (order.job?, order.last()?);
    let has_ended = last.phase != "active";
    let is_open = order.assignments.iter().any(|row| row.end_time_us.is_none());
    let events = order.assignment_events.len() as i64;
    if job.event_version != events {
        return Some(format!("its job has seen version {} of its {events} events", job.event_version));
    }
    let (kept, is) = (job.state, if has_ended { "ended" } else { "active" });
    let is_wrong = case.drained() && (has_ended != (kept == 4) || is_open != (kept == 3));
    is_wrong.then(|| format!("its job has state {kept}; the order is {is}, an assignment open: {is_open}"))
}

/// What is open for too long after the end of its order.
fn late(case: &Case<'_>, order: &OrderCase<'_>, row: &AssignmentRow) -> Option<String> {
    let last = order.last().filter(|last| last.phase != "active")?;
    let ended = case.run_us(last.time_us);
    let open = Spell { from_us: ended, to_us: row.end_time_us.map_or(case.end_us, |end_us| case.run_us(end_us)) };
    let is_left = row.end_time_us.is_none() && case.drained();
    (is_left || open.quiet_us(case) > RELEASE_US).then(|| {
        let seconds = open.length_us() / 1_000_000;
        format!("attempt {} of {} was open {seconds} s after the end of its order", row.attempt, row.courier_id)
    })
}

/// Each slot of a courier holds one order at a time, and a courier has no more slots than it takes orders.
fn slots(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut slots: BTreeMap<(&str, &str, i32), Vec<&AssignmentRow>> = BTreeMap::new();
    for row in case.orders.values().flat_map(|order| &order.assignments) {
        slots.entry((&row.tenant, &row.courier_id, row.slot)).or_default().push(row);
    }
    for ((tenant, courier_id, slot), mut rows) in slots {
        rows.sort_by_key(|row| row.create_time_us);
        for pair in rows.windows(2).filter(|pair| overlap(pair[0], pair[1])) {
            let evidence = format!(
                "slot {slot} of {courier_id} held it and order {}: {}",
                pair[0].order_id,
                both(pair[0], pair[1])
            );
            found.order(&pair[1].order_id, evidence);
        }
        let Some(courier) = case.couriers.get(&(tenant, courier_id)) else {
            found.order(&rows[0].order_id, format!("was given to courier {courier_id:?}, which is not there"));
            continue;
        };
        if !(1..=courier.capacity).contains(&slot) {
            let evidence = format!("has slot {slot} of {courier_id}, which takes {} at once", courier.capacity);
            found.order(&rows[0].order_id, evidence);
        }
    }
}
