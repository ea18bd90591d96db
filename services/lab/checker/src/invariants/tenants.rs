//! C10: what belongs to one tenant is shown to no client of another, a call that names it is refused, and every row and record names the
//! tenant of its order.

use std::collections::HashMap;

use crate::{
    case::{Case, Occurrence, OrderCase, Outcome},
    findings::Findings,
    history::{Answer, Event, Op, RecordContent, What},
};

/// Looks at everything that clients were shown, and at everything that is kept.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    shown(case, found);
    foreign(case, found);
    for (order_id, order) in &case.orders {
        let Some(row) = order.row() else { continue };
        for (what, tenant) in kept(order).filter(|(_, tenant)| *tenant != row.tenant) {
            found.order(order_id, format!("belongs to tenant {:?}; {what} says {tenant:?}", row.tenant));
        }
    }
}

/// Answers and streams.
fn shown(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut look = |order_id: &str, tenant: &str, at_us: u64| {
        let owner = case.order(order_id).and_then(OrderCase::row).map(|row| row.tenant.as_str());
        if let Some(owner) = owner.filter(|owner| *owner != tenant) {
            found.at(order_id, at_us, format!("belongs to tenant {owner:?}, and was shown to a client of {tenant:?}"));
        }
    };
    for attempt in &case.creates {
        if let Some(order) = attempt.shown() {
            look(&order.order_id, attempt.tenant, attempt.done_us);
        }
    }
    for attempt in &case.moves {
        if let Outcome::Ok { shown, .. } = attempt.outcome {
            look(&shown.order_id, attempt.tenant, attempt.done_us);
        }
    }
    for read in &case.reads {
        match read.answer {
            Some(Answer::Order { order }) => look(&order.order_id, read.tenant, read.done_us),
            Some(Answer::History { .. }) => look(read.order_id, read.tenant, read.done_us),
            _ => {}
        }
    }
    for stream in case.streams.values() {
        for (at_us, event) in &stream.events {
            match event {
                Event::Transition { transition } => look(&transition.order_id, stream.tenant, *at_us),
                Event::Current { order } => look(&order.order_id, stream.tenant, *at_us),
                Event::Jobs { jobs, .. } => jobs.iter().for_each(|job| look(&job.order_id, stream.tenant, *at_us)),
                Event::Heartbeat { .. } | Event::SnapshotComplete | Event::Courier { .. } => {}
            }
        }
    }
}

/// Calls that nobody may answer with OK.
fn foreign(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut sent: HashMap<u64, (&str, &str)> = HashMap::new();
    for line in case.lines {
        match &line.what {
            What::Invoke { call, replica, op: Op::Foreign { what }, .. } => _ = sent.insert(*call, (what, replica)),
            What::Return { call, code, .. } => {
                if let Some((what, replica)) = sent.remove(call).filter(|_| code == "OK") {
                    found.system(Some(line.at_us), format!("{what} was accepted by {replica}"));
                }
            }
            _ => {}
        }
    }
}

/// Everything that names the tenant of an order, but its own row.
fn kept<'o>(order: &'o OrderCase<'_>) -> impl Iterator<Item = (&'static str, &'o str)> {
    let states = order.states.iter().map(|state| ("its state", state.tenant));
    let steps = order.steps.iter().map(|step| ("its history", step.tenant));
    let mails = order.mails.iter().map(|mail| ("the mail ledger", mail.tenant));
    let requests = order.requests.iter().map(|(tenant, _)| ("a kept request", *tenant));
    let jobs = order.job.iter().map(|job| ("its job", job.tenant.as_str()));
    let assignments = order.assignments.iter().map(|row| ("an assignment", row.tenant.as_str()));
    let events = order.assignment_events.iter().map(|event| ("an event of dispatch", event.tenant.as_str()));
    let records = order.placed.iter().chain(&order.transitions).chain(&order.assignment_records);
    let headers = records.clone().map(|record| ("the header of a record", record.tenant.unwrap_or_default()));
    let payloads = records.filter_map(|record| Some(("a record", of_record(record)?)));
    let of_dispatch = jobs.chain(assignments).chain(events);
    states.chain(steps).chain(mails).chain(requests).chain(of_dispatch).chain(headers).chain(payloads)
}

fn of_record<'a>(record: &Occurrence<'a>) -> Option<&'a str> {
    match record.content {
        RecordContent::Placed { tenant, .. } | RecordContent::Transition { tenant, .. } => Some(tenant),
        RecordContent::Assignment { event } => Some(&event.tenant),
        RecordContent::Planted | RecordContent::Unreadable { .. } => None,
    }
}
