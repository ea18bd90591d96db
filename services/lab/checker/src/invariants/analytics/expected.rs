//! What each report should say, added up from transitions and from the events of dispatch.

use std::collections::BTreeMap;

use super::sums::Sums;
use crate::{
    case::{Case, OrderCase},
    history::{AssignmentEvent, OrderRow, Report, Transition},
};

/// A promise is kept by a pickup at most so much later.
const ON_TIME_US: i64 = 5 * 60 * 1_000_000;
const NANOS: i64 = 1_000_000_000;
const DWELL: [(&str, usize); 3] = [("p50_us", 50), ("p90_us", 90), ("p99_us", 99)];
const PICKUP: [(&str, usize); 2] = [("p50_pickup_us", 50), ("p90_pickup_us", 90)];

/// Tenant, report, and what identifies the row in it.
pub(super) type Key<'a> = (&'a str, Report, Vec<&'a str>);

#[derive(Default)]
struct Rows<'a>(BTreeMap<Key<'a>, Sums>);

impl<'a> Rows<'a> {
    fn of(&mut self, tenant: &'a str, report: Report, key: &[&'a str]) -> &mut Sums {
        self.0.entry((tenant, report, key.to_vec())).or_default()
    }
}

/// Every row of every report over the whole run.
pub(super) fn expected<'a>(case: &Case<'a>) -> BTreeMap<Key<'a>, BTreeMap<&'static str, i64>> {
    let mut rows = Rows::default();
    for order in case.orders.values() {
        let Some(row) = order.row() else { continue };
        order.steps.iter().for_each(|step| moved(&mut rows, row, step.transition));
        present(&mut rows, row, order);
        order.assignment_events.iter().for_each(|event| assigned(&mut rows, event));
    }
    let finished = rows.0.into_iter().map(|(key, sums)| {
        let values = match key.1 {
            Report::Dwell => sums.finish("mean_us", &DWELL),
            Report::Couriers => sums.finish("mean_pickup_us", &PICKUP),
            _ => sums.values,
        };
        (key, values)
    });
    // Rows of zero are left out.
    finished.filter(|(_, values)| values.values().any(|value| *value != 0)).collect()
}

fn moved<'a>(rows: &mut Rows<'a>, row: &'a OrderRow, transition: &'a Transition) {
    let (tenant, workflow) = (row.tenant.as_str(), row.workflow.as_str());
    rows.of(tenant, Report::Orders, &[workflow, &transition.to]).add("entered_count", 1);
    if let Some(from_us) = transition.from_time_us {
        let dwell = rows.of(tenant, Report::Dwell, &[workflow, &transition.from]);
        dwell.add("left_count", 1);
        dwell.took(transition.time_us - from_us);
    }
    let (phase, rates) = (transition.phase.as_str(), rows.of(tenant, Report::Rates, &[workflow]));
    rates.count("created_count", transition.version == 1);
    rates.count("ended_count", phase != "active");
    for (name, of) in [
        ("succeeded_count", "succeeded"),
        ("cancelled_count", "cancelled"),
        ("rejected_count", "rejected"),
        ("failed_count", "failed"),
    ] {
        rates.count(name, phase == of);
    }
    if phase == "succeeded" {
        sold(rows, row);
    }
}

/// How many are in a status now: each order is in the one that it entered last.
fn present<'a>(rows: &mut Rows<'a>, row: &'a OrderRow, order: &OrderCase<'a>) {
    if let Some(last) = order.last() {
        rows.of(&row.tenant, Report::Orders, &[&row.workflow, &last.to]).add("present_count", 1);
    }
}

fn sold<'a>(rows: &mut Rows<'a>, row: &'a OrderRow) {
    let (currency, amount) = row.total.split_once(' ').unwrap_or(("", "0"));
    let (units, nanos) = amount.split_once('.').unwrap_or((amount, "0"));
    let revenue = rows.of(&row.tenant, Report::Revenue, &[&row.workflow, currency]);
    revenue.add("order_count", 1);
    revenue.add("item_count", i64::from(row.item_count));
    revenue.add("total_units", units.parse().unwrap_or_default());
    revenue.add("total_nanos", nanos.parse().unwrap_or_default());
    let nanos = revenue.values.entry("total_nanos").or_default();
    let carried = *nanos / NANOS;
    *nanos %= NANOS;
    revenue.add("total_units", carried);
}

fn assigned<'a>(rows: &mut Rows<'a>, event: &'a AssignmentEvent) {
    let (tenant, what) = (event.tenant.as_str(), event.event.as_str());
    let is_pickup = what == "picked_up";
    let pickup_us = event.pickup_time_us.unwrap_or(event.time_us);
    let on_time = is_pickup && event.promised_pickup_time_us.is_some_and(|promised| pickup_us <= promised + ON_TIME_US);
    let rates = rows.of(tenant, Report::Rates, &[&event.workflow]);
    rates.count("pickup_count", is_pickup);
    rates.count("on_time_count", on_time);
    if event.courier_id.is_empty() {
        return;
    }
    let courier = rows.of(tenant, Report::Couriers, &[&event.courier_id]);
    courier.count("offered_count", what == "offered");
    courier.count("refused_count", matches!(what, "declined" | "expired"));
    courier.count("allotted_count", what == "allotted");
    // An offer that is taken back was no job yet.
    courier.count("released_count", what == "released" && event.allot_time_us.is_some());
    courier.count("pickup_count", is_pickup);
    courier.count("on_time_count", on_time);
    courier.count("completed_count", what == "completed");
    match (what, event.allot_time_us) {
        ("allotted", _) => courier.add("idle_us", event.idle_us.unwrap_or_default()),
        ("picked_up", Some(allot_us)) => courier.took(pickup_us - allot_us),
        ("completed", Some(allot_us)) => courier.add("busy_us", event.time_us - allot_us),
        _ => {}
    }
}
