//! C13, what couriers are shown: their own jobs, no more than they take, none before the order says so, and none for long after its end.

use std::collections::HashMap;

use super::{RELEASE_US, SLACK_US, spell::Spell};
use crate::{
    case::{Case, Kind, OrderCase, Stream},
    findings::Findings,
    history::{AssignmentRow, Event, Job},
};

/// Looks at each stream of a courier's jobs.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut revisions: HashMap<(&str, &str), i64> = HashMap::new();
    for stream in case.streams.values() {
        let Kind::Courier { courier_id } = stream.kind else { continue };
        let last = revisions.entry((stream.tenant, courier_id)).or_default();
        for (place, (at_us, event)) in stream.events.iter().enumerate() {
            let Event::Jobs { revision, jobs } = event else { continue };
            let number = stream.stream;
            if *revision < *last {
                found.system(
                    Some(*at_us),
                    format!("stream {number} of {courier_id}: revision {revision} comes after {last}"),
                );
            }
            *last = *revision;
            let capacity = case.couriers.get(&(stream.tenant, courier_id)).map(|row| row.capacity as usize);
            if capacity.is_some_and(|capacity| jobs.len() > capacity) {
                found.system(
                    Some(*at_us),
                    format!("stream {number} shows {courier_id} {} jobs at once: {jobs:?}", jobs.len()),
                );
            }
            let until_us = stream.events.get(place + 1).map_or(stream.end_us(case.end_us), |(at_us, _)| *at_us);
            for job in jobs {
                if let Some(problem) = wrong(case, stream, courier_id, job, Spell { from_us: *at_us, to_us: until_us })
                {
                    found.at(&job.order_id, *at_us, format!("stream {number} of {courier_id}: {problem}"));
                }
            }
        }
    }
}

/// What is wrong with a job that is shown for a while.
fn wrong(case: &Case<'_>, stream: &Stream<'_>, courier_id: &str, job: &Job, shown: Spell) -> Option<String> {
    let Job { order_id, attempt, .. } = job;
    let order = case.order(order_id)?;
    let row = order.assignments.iter().find(|row| row.attempt == *attempt);
    let Some(row) = row else { return Some(format!("attempt {attempt} is shown, which is not there")) };
    if (row.tenant.as_str(), row.courier_id.as_str()) != (stream.tenant, courier_id) {
        return Some(format!("attempt {attempt} is shown, which is that of {}", row.courier_id));
    }
    if job.state == "ended" {
        return Some(format!("attempt {attempt} is shown after its end"));
    }
    early(case, order, row, job).or_else(|| late(case, row, shown))
}

/// An order that was cancelled before it was confirmed is never work.
fn early(case: &Case<'_>, order: &OrderCase<'_>, row: &AssignmentRow, job: &Job) -> Option<String> {
    let dispatch = case.workflow(order)?.dispatch.as_ref()?;
    if job.state != "active" || dispatch.allotted.is_empty() {
        return None;
    }
    let since_us = row.create_time_us - SLACK_US;
    let confirmed =
        order.steps.iter().any(|step| dispatch.is_served(&step.transition.to) && step.transition.time_us >= since_us);
    (!job.confirmed || !confirmed)
        .then(|| format!("attempt {} is shown as work, and its order never said so", row.attempt))
}

/// What has ended goes from the list.
fn late(case: &Case<'_>, row: &AssignmentRow, shown: Spell) -> Option<String> {
    let ended_us = case.run_us(row.end_time_us?);
    let after = Spell { from_us: ended_us.max(shown.from_us), ..shown };
    let is_late = after.quiet_us(case) > RELEASE_US;
    is_late.then(|| format!("attempt {} is shown {} s after its end", row.attempt, after.length_us() / 1_000_000))
}
