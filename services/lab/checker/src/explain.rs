//! A violation as text: what is wrong, and a table of what happened to the order.

use std::fmt::Write;

use crate::{
    case::Case,
    history::{Answer, AssignmentEvent, AssignmentRow, Event, Line, Op, Order, RecordContent, Transition, What},
    violation::Violation,
};

/// Several lines of text that tell a violation to a reader.
pub fn explain(violation: &Violation) -> String {
    let mut text = format!("{}: {}\n", violation.invariant, violation.evidence);
    // Writing to a String cannot fail.
    if let Some(order_id) = &violation.order_id {
        _ = writeln!(text, "  order {order_id}");
    }
    if !violation.faults.is_empty() {
        _ = writeln!(text, "  faults: {}", violation.faults.join(", "));
    }
    for line in &violation.lines {
        let near = violation.at_us.is_some_and(|at_us| at_us == line.at_us);
        _ = writeln!(text, "{} {:>10} {}", if near { ">" } else { " " }, time(line), tell(&line.what));
    }
    text
}

fn time(line: &Line) -> String {
    if Case::is_dump(&line.what) { "at the end".into() } else { format!("{:.3} s", line.at_us as f64 / 1e6) }
}

fn tell(what: &What) -> String {
    match what {
        What::Invoke { call, replica, op, .. } => format!("call {call} to {replica}: {}", tell_op(op)),
        What::Return { call, code, reason, answer } => {
            let reason = reason.as_ref().map_or_else(String::new, |reason| format!(" {reason}"));
            format!("call {call}: {code}{reason}{}", answer.as_ref().map_or_else(String::new, tell_answer))
        }
        What::Watch { stream, replica, after_version, .. } => {
            format!("stream {stream} to {replica}, after version {after_version}")
        }
        What::Event { stream, event } => format!("stream {stream}: {}", tell_event(event)),
        What::StreamEnd { stream, code, .. } => format!("stream {stream} ended: {code}"),
        What::Mail { message_id, recipients, reply } => {
            format!("mail {message_id} to {}: {reply}", recipients.join(", "))
        }
        What::OrderRow(row) => format!(
            "row: number {}, {} revision {}, customer {}",
            row.number, row.workflow, row.revision, row.customer_id
        ),
        What::RequestRow { request_id, .. } => format!("request {request_id}"),
        What::StateRow { version, status, phase, .. } => format!("state: version {version} {status} ({phase})"),
        What::TransitionRow { transition, request_id, .. } => {
            let command = request_id.as_ref().map_or_else(String::new, |id| format!(", command {id}"));
            format!("history: {}{command}", tell_transition(transition))
        }
        What::WatchCourier { stream, replica, courier_id, .. } => {
            format!("stream {stream} to {replica}, of {courier_id}")
        }
        What::AssignmentRow(row) => tell_assignment(row),
        What::AssignmentEventRow(event) => format!("event of dispatch: {}", tell_assignment_event(event)),
        What::OutboxRow { service, version, .. } => format!("outbox of {service}: version {version}"),
        What::MailRow { version, copy, state, attempts, .. } => {
            format!("mail of version {version}, copy {copy}: {state}, {attempts} tries")
        }
        What::Record { log, partition, offset, content, .. } => {
            format!("log {log}, {partition}/{offset}: {}", tell_record(content))
        }
        other => format!("{other:?}"),
    }
}

fn tell_op(op: &Op) -> String {
    match op {
        Op::Create(order) => format!("create, request {:?}, customer {}", order.request_id, order.customer_id),
        Op::CreateBatch { orders } => format!("create {} orders", orders.len()),
        Op::Move { trigger, request_id, expected_version, to_status, .. } => {
            format!("{trigger}, request {request_id:?}, expected version {expected_version:?}, to {to_status:?}")
        }
        Op::Courier { action, courier_id, attempt, .. } => format!("{action:?} by {courier_id}, attempt {attempt}"),
        Op::Get { .. } => "get".into(),
        Op::History { .. } => "history".into(),
        Op::Bad { what, .. } => format!("bad: {what}"),
        Op::Foreign { what } => format!("foreign: {what}"),
    }
}

fn tell_answer(answer: &Answer) -> String {
    match answer {
        Answer::Created { order, replayed } => format!(" {} replayed {replayed}", tell_order(order)),
        Answer::Batch { results } => format!(" {} orders", results.len()),
        Answer::Moved { transition, replayed } => format!(" {} replayed {replayed}", tell_transition(transition)),
        Answer::Order { order } => format!(" {}", tell_order(order)),
        Answer::History { transitions } => format!(" {} transitions", transitions.len()),
        Answer::Assignment { attempt, courier_id, state, replayed } => {
            format!(" attempt {attempt} of {courier_id} is {state}, replayed {replayed}")
        }
        Answer::Courier { taken } => format!(" taken {taken}"),
    }
}

fn tell_event(event: &Event) -> String {
    match event {
        Event::Transition { transition } => tell_transition(transition),
        Event::Current { order } => format!("current {}", tell_order(order)),
        Event::Heartbeat { version } => format!("heartbeat {version}"),
        Event::SnapshotComplete => "snapshot complete".into(),
        Event::Courier { attempt, has_position } => {
            format!("courier of attempt {attempt}, with a position: {has_position}")
        }
        Event::Jobs { revision, jobs } => {
            let jobs = jobs.iter().map(|job| format!("{} {} {}", job.order_id, job.attempt, job.state));
            format!("revision {revision}: {}", jobs.collect::<Vec<_>>().join(", "))
        }
    }
}

fn tell_record(content: &RecordContent) -> String {
    match content {
        RecordContent::Placed { number, status, .. } => format!("placed, number {number}, {status}"),
        RecordContent::Transition { transition, .. } => tell_transition(transition),
        RecordContent::Assignment { event } => tell_assignment_event(event),
        other => format!("{other:?}"),
    }
}

fn tell_assignment(row: &AssignmentRow) -> String {
    let AssignmentRow { attempt, courier_id, slot, state, outcome, create_time_us, end_time_us, .. } = row;
    format!("assignment {attempt} to {courier_id} slot {slot}: {state} {outcome}, {create_time_us} to {end_time_us:?}")
}

fn tell_assignment_event(event: &AssignmentEvent) -> String {
    let AssignmentEvent { version, event, attempt, courier_id, time_us, step, .. } = event;
    let step =
        step.as_ref().map_or_else(String::new, |step| format!(", {:?} after {}", step.to, step.expected_version));
    format!("version {version} {event} attempt {attempt} of {courier_id} at {time_us}{step}")
}

fn tell_order(order: &Order) -> String {
    format!("number {} version {} {}", order.number, order.version, order.status)
}

fn tell_transition(transition: &Transition) -> String {
    let Transition { version, from, to, trigger, time_us, next_time_us, .. } = transition;
    format!("version {version} {from:?} -> {to:?} by {trigger} at {time_us}, timer {next_time_us:?}")
}
