//! Makes a [`Case`] of lines, in one pass and a tidying up.

use std::collections::HashMap;

use super::{Case, Delivery, Fault, Kind, OrderCase, Sighting};
use crate::history::{Event, Line, What};

mod calls;
mod remains;
mod streams;

use calls::{Back, Sent};

struct Builder<'a> {
    case: Case<'a>,
    /// Calls that are not answered yet.
    open_calls: HashMap<u64, Sent<'a>>,
    /// Faults that are not healed yet, by their place in the case.
    open_faults: HashMap<u64, usize>,
    /// Lines of mails.
    mail_lines: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Case<'a> {
    /// Puts lines in order.
    pub fn new(lines: &'a [Line]) -> Self {
        let case = Self { lines, ..Self::default() };
        let mut builder =
            Builder { case, open_calls: HashMap::new(), open_faults: HashMap::new(), mail_lines: HashMap::new() };
        lines.iter().enumerate().for_each(|(at, line)| builder.take(at, line));
        builder.finish()
    }
}

impl<'a> Builder<'a> {
    fn take(&mut self, at: usize, line: &'a Line) {
        if Case::is_dump(&line.what) {
            // Not so records: those of a log are told before it is lost, too.
            self.case.dumped |= matches!(line.what, What::Workflow(_) | What::Lag { .. });
            return self.take_remains(at, &line.what);
        }
        self.case.end_us = self.case.end_us.max(line.at_us);
        match &line.what {
            What::Invoke { call, tenant, op, .. } => {
                self.open_calls.insert(*call, Sent { call: *call, tenant, line: at, at_us: line.at_us, op });
            }
            What::Return { call, code, reason, answer } => {
                if let Some(sent) = self.open_calls.remove(call) {
                    let (reason, answer) = (reason.as_ref(), answer.as_ref());
                    self.answer(sent, Back { line: at, at_us: line.at_us, code, reason, answer });
                }
            }
            What::Watch { .. }
            | What::WatchAll { .. }
            | What::WatchCourier { .. }
            | What::Event { .. }
            | What::StreamEnd { .. } => self.take_stream(at, line),
            other => self.take_run(at, line.at_us, other),
        }
    }

    fn take_run(&mut self, at: usize, at_us: u64, what: &'a What) {
        let case = &mut self.case;
        match what {
            What::Run(run) => case.run = Some(run),
            What::Mail { message_id, recipients, reply } => {
                case.mails.entry(message_id).or_default().push(Delivery { at_us, recipients, reply: *reply });
                self.mail_lines.entry(message_id).or_default().push(at);
            }
            What::Fault { fault, name, target } => {
                self.open_faults.insert(*fault, case.faults.len());
                case.faults.push(Fault { name, target, from_us: at_us, to_us: u64::MAX, made: true });
            }
            What::Heal { fault, failed } => {
                if let Some(place) = self.open_faults.remove(fault) {
                    (case.faults[place].to_us, case.faults[place].made) = (at_us, failed.is_none());
                }
            }
            What::LastHeal => case.last_heal_us = Some(at_us),
            What::Drained => case.drained_us = Some(at_us),
            What::Republished { .. } => case.republished.push(at_us),
            _ => {}
        }
    }

    fn mention(&mut self, order_id: &'a str, lines: &[usize]) -> &mut OrderCase<'a> {
        let order = self.case.orders.entry(order_id).or_default();
        order.lines.extend_from_slice(lines);
        order
    }

    fn see(&mut self, order_id: &'a str, asked_us: Option<u64>, seen_us: u64, version: i64) {
        self.case.orders.entry(order_id).or_default().sightings.push(Sighting { asked_us, seen_us, version });
    }

    fn finish(mut self) -> Case<'a> {
        let open = std::mem::take(&mut self.open_calls);
        // A call without an answer is as good as unknown.
        for sent in open.into_values() {
            let (line, at_us) = (sent.line, sent.at_us);
            self.answer(sent, Back { line, at_us, code: "CANCELLED", reason: None, answer: None });
        }
        let mut case = self.case;
        for order in case.orders.values_mut() {
            order.steps.sort_by_key(|step| step.transition.version);
            order.placed.sort_by_key(|record| record.place);
            order.transitions.sort_by_key(|record| record.place);
            order.assignments.sort_by_key(|row| row.attempt);
            order.assignment_events.sort_by_key(|event| event.version);
            order.assignment_records.sort_by_key(|record| record.place);
            order.mails.sort_by_key(|mail| (mail.version, mail.copy));
            order.sightings.sort_by_key(|sighting| sighting.seen_us);
            order.lines.sort_unstable();
            order.lines.dedup();
        }
        case.told = told(&case);
        case
    }
}

fn told(case: &Case<'_>) -> Vec<(u64, u64)> {
    let of_many = case.streams.values().filter(|stream| matches!(stream.kind, Kind::All { .. }));
    let events = of_many.flat_map(|stream| &stream.events);
    let mut told: Vec<_> = events
        .filter_map(|(shown_us, event)| match event {
            Event::Transition { transition } => Some((case.run_us(transition.time_us), *shown_us)),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    let mut first_us = u64::MAX;
    for (_, shown_us) in told.iter_mut().rev() {
        first_us = first_us.min(*shown_us);
        *shown_us = first_us;
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Start, Transition};

    fn shown(stream: u64, at_us: u64, time_us: i64) -> Line {
        let transition = Transition {
            order_id: "order".into(),
            version: 1,
            from: String::new(),
            to: "received".into(),
            phase: "active".into(),
            time_us,
            trigger: "create".into(),
            next_time_us: None,
            from_time_us: None,
            total: String::new(),
            item_count: 1,
        };
        Line { at_us, what: What::Event { stream, event: Event::Transition { transition } } }
    }

    #[test]
    fn only_streams_of_many_orders_tell_what_came_through_kafka() {
        let (client, tenant, replica) = (String::new(), String::new(), String::new());
        let one = What::Watch {
            stream: 1,
            client: client.clone(),
            tenant: tenant.clone(),
            replica: replica.clone(),
            order_id: "order".into(),
            after_version: 0,
        };
        let all =
            What::WatchAll { stream: 2, client, tenant, replica, customer_id: String::new(), start: Start::Snapshot };
        let opened = [one, all].map(|what| Line { at_us: 1, what });
        let events = [shown(1, 11, 10), shown(2, 15, 8), shown(2, 20, 5), shown(2, 30, 9)];
        let lines: Vec<Line> = opened.into_iter().chain(events).collect();
        let case = Case::new(&lines);
        assert_eq!([4, 5, 8, 9].map(|at_us| case.told_after(at_us)), [Some(15), Some(15), Some(30), None]);
    }
}
