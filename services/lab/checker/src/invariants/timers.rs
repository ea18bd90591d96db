//! C6: a timer is due its delay after the transition that set it, and never fires before.

use crate::{
    case::{Case, Kind, OrderCase},
    findings::Findings,
    history::{Edge, Event, Transition, Workflow},
};

/// How far two clocks may drift apart in a run, in microseconds.
const DRIFT_US: i64 = 250_000;

/// Looks for timers that were set wrongly or fired early.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let step_us = case.run.and_then(|run| run.step_us);
    for (order_id, order) in &case.orders {
        let Some(row) = order.row() else { continue };
        if let Some(workflow) = case.workflows.get(&(row.workflow.as_str(), row.revision)) {
            set(found, order_id, order, workflow, step_us, row.start_time_us);
        }
        for (before, now) in order.pairs().filter(|(_, now)| now.trigger == "timer") {
            fired(found, order_id, before, now);
        }
    }
    from_the_future(case, found);
}

fn set(
    found: &mut Findings<'_, '_>,
    order_id: &str,
    order: &OrderCase<'_>,
    workflow: &Workflow,
    step_us: Option<i64>,
    start_us: Option<i64>,
) {
    for step in &order.steps {
        let Transition { version, to, time_us, next_time_us, .. } = step.transition;
        let edge = workflow.edges.iter().find(|edge| edge.trigger == "timer" && edge.from == *to);
        let from_us = |edge: &Edge| start_us.filter(|_| edge.after_start).map_or(*time_us, |start| start.max(*time_us));
        let due_us = edge.map(|edge| from_us(edge) + step_us.unwrap_or(edge.delay_us));
        if *next_time_us != due_us {
            let evidence =
                format!("version {version} at {time_us} us has its timer at {next_time_us:?} instead of {due_us:?}");
            found.order(order_id, evidence);
        }
    }
}

fn fired(found: &mut Findings<'_, '_>, order_id: &str, before: &Transition, now: &Transition) {
    let early_us = before.next_time_us.map(|due_us| due_us - now.time_us);
    match early_us {
        None => found.order(order_id, format!("version {} is by timer, and none was set", now.version)),
        Some(early_us) if early_us > 0 => {
            found.order(order_id, format!("version {} is by a timer that fired {early_us} us early", now.version));
        }
        Some(_) => {}
    }
}

/// A transition that was seen before its own time: its maker did not use the database's clock.
fn from_the_future(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let Some(lead_us) = case.lead_us else { return };
    for stream in case.streams.values() {
        for (at_us, event) in &stream.events {
            let Event::Transition { transition } = event else { continue };
            let latest_us = i64::try_from(*at_us).unwrap_or(i64::MAX).saturating_add(lead_us + DRIFT_US);
            if transition.time_us > latest_us {
                let ahead_ms = (transition.time_us - latest_us) / 1000;
                let kind = if matches!(stream.kind, Kind::One { .. }) { "its stream" } else { "a stream" };
                let evidence =
                    format!("{kind} showed version {} at least {ahead_ms} ms before its time", transition.version);
                found.at(&transition.order_id, *at_us, evidence);
            }
        }
    }
}
