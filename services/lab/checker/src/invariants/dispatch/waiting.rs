//! C13, waiting: no order that needs a courier waits for long while one is free that may have it.

use std::collections::BTreeMap;

use super::spell::Spell;
use crate::{
    case::{Case, OrderCase},
    findings::Findings,
    history::{AssignmentRow, CourierAction, Dispatch},
};

/// Three windows of half a second each, and what a loaded machine needs to move what there is from one process to the next.
const MOST_WAIT_US: u64 = 8_000_000;
/// A courier gets nothing new 120 s after its last position. Shorter, for positions take time.
const HEARD_US: u64 = 60_000_000;
/// After this many attempts the search for a courier ends.
const MOST_ATTEMPTS: usize = 5;

/// Looks for an order that waits beside a courier that is free.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let couriers = couriers(case);
    for (order_id, order) in &case.orders {
        let Some(dispatch) = case.workflow(order).and_then(|workflow| workflow.dispatch.as_ref()) else { continue };
        if order.assignments.len() >= MOST_ATTEMPTS {
            continue;
        }
        for spell in waiting(case, order, dispatch).into_iter().filter(|spell| spell.length_us() > MOST_WAIT_US) {
            if let Some((courier_id, idle)) = idle(case, order, spell, &couriers) {
                let seconds = idle.length_us() / 1_000_000;
                found.at(order_id, idle.from_us, format!("waited for {seconds} s while {courier_id} was free"));
            }
        }
    }
}

/// When an order needed a courier and had none.
fn waiting(case: &Case<'_>, order: &OrderCase<'_>, dispatch: &Dispatch) -> Vec<Spell> {
    let mut waiting = Vec::new();
    for (place, step) in
        order.steps.iter().enumerate().filter(|(_, step)| dispatch.wanted_in.contains(&step.transition.to))
    {
        let next = order.steps.get(place + 1);
        let to_us = next.map_or(case.end_us, |next| case.run_us(next.transition.time_us));
        let spell = Spell { from_us: case.run_us(step.transition.time_us), to_us };
        waiting.extend(spell.without(order.assignments.iter().map(|row| held(case, row))));
    }
    waiting
}

fn held(case: &Case<'_>, row: &AssignmentRow) -> Spell {
    let to_us = row.end_time_us.map_or(u64::MAX, |end_us| case.run_us(end_us));
    Spell { from_us: case.run_us(row.create_time_us), to_us }
}

/// A courier that was free throughout a part of a spell, and that may have had the order.
fn idle<'a>(
    case: &Case<'a>,
    order: &OrderCase<'a>,
    spell: Spell,
    couriers: &BTreeMap<(&'a str, &'a str), Vec<Spell>>,
) -> Option<(&'a str, Spell)> {
    let tenant = order.row()?.tenant.as_str();
    // Who declined, let an offer pass, or gave it back does not get it again.
    let had = |courier_id: &str| order.assignments.iter().any(|row| row.courier_id == courier_id);
    let eligible = couriers.iter().filter(|((of, courier_id), _)| *of == tenant && !had(courier_id));
    let mut free =
        eligible.flat_map(|((_, courier_id), spells)| spells.iter().map(move |free| (*courier_id, free.and(spell))));
    free.find(|(_, both)| both.length_us() > MOST_WAIT_US && both.quiet_us(case) > MOST_WAIT_US)
}

/// When each courier was online, heard from, and without any job.
fn couriers<'a>(case: &Case<'a>) -> BTreeMap<(&'a str, &'a str), Vec<Spell>> {
    let mut couriers = BTreeMap::new();
    for &(tenant, courier_id) in case.couriers.keys() {
        let rows = case.orders.values().flat_map(|order| &order.assignments);
        let own: Vec<Spell> = rows
            .filter(|row| (row.tenant.as_str(), row.courier_id.as_str()) == (tenant, courier_id))
            .map(|row| held(case, row))
            .collect();
        let free = online(case, tenant, courier_id).into_iter().flat_map(|spell| spell.without(own.clone()));
        couriers.insert((tenant, courier_id), free.collect());
    }
    couriers
}

/// From when it was known to be online and heard from, until either ends.
fn online(case: &Case<'_>, tenant: &str, courier_id: &str) -> Vec<Spell> {
    let calls = case.courier_calls.iter().filter(|call| (call.tenant, call.courier_id) == (tenant, courier_id));
    let (mut spells, mut is_online): (Vec<Spell>, bool) = (Vec::new(), false);
    for call in calls {
        match call.action {
            CourierAction::GoOnline => is_online |= call.is_done,
            CourierAction::GoOffline => {
                is_online = false;
                spells.iter_mut().for_each(|spell| spell.to_us = spell.to_us.min(call.sent_us));
            }
            CourierAction::Locate if call.is_done && is_online => {
                let heard = Spell { from_us: call.done_us, to_us: (call.done_us + HEARD_US).min(case.end_us) };
                match spells.last_mut().filter(|last| last.to_us >= heard.from_us) {
                    Some(last) => last.to_us = heard.to_us,
                    None => spells.push(heard),
                }
            }
            _ => {}
        }
    }
    spells
}
