//! Makes a [`Case`] of lines, in one pass and a tidying up.

use std::collections::HashMap;

use super::{
    Attempt, Case, Delivery, Fault, Kind, MailRow, Occurrence, OrderCase, Outcome, Place, Read, Sighting, StateRow,
    Step, Strange, Stream,
    attempt::{command, moved, outcome},
};
use crate::history::{Answer, BatchResult, Event, Line, NewOrder, Op, Order, RecordContent, What};

/// A call as it was sent.
#[derive(Clone, Copy)]
struct Sent<'a> {
    call: u64,
    line: usize,
    at_us: u64,
    op: &'a Op,
}

/// What came back.
struct Back<'a> {
    line: usize,
    at_us: u64,
    code: &'a str,
    reason: Option<&'a String>,
    answer: Option<&'a Answer>,
}

struct Builder<'a> {
    case: Case<'a>,
    /// Calls that are not answered yet.
    open_calls: HashMap<u64, Sent<'a>>,
    /// Faults that are not healed yet, by their place in the case.
    open_faults: HashMap<u64, usize>,
    /// Lines of mails.
    mail_lines: HashMap<&'a str, Vec<usize>>,
}

pub(super) fn build(lines: &[Line]) -> Case<'_> {
    let case = Case { lines, ..Case::default() };
    let mut builder =
        Builder { case, open_calls: HashMap::new(), open_faults: HashMap::new(), mail_lines: HashMap::new() };
    lines.iter().enumerate().for_each(|(at, line)| builder.take(at, line));
    builder.finish()
}

impl<'a> Builder<'a> {
    fn take(&mut self, at: usize, line: &'a Line) {
        if Case::is_dump(&line.what) {
            self.case.dumped = true;
            return self.take_remains(at, &line.what);
        }
        self.case.end_us = self.case.end_us.max(line.at_us);
        match &line.what {
            What::Invoke { call, op, .. } => {
                self.open_calls.insert(*call, Sent { call: *call, line: at, at_us: line.at_us, op });
            }
            What::Return { call, code, reason, answer } => {
                if let Some(sent) = self.open_calls.remove(call) {
                    let (reason, answer) = (reason.as_ref(), answer.as_ref());
                    self.answer(sent, Back { line: at, at_us: line.at_us, code, reason, answer });
                }
            }
            What::Watch { .. } | What::WatchAll { .. } | What::Event { .. } | What::StreamEnd { .. } => {
                self.take_stream(at, line);
            }
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
                case.faults.push(Fault { name, target, from_us: at_us, to_us: u64::MAX });
            }
            What::Heal { fault, failed } => {
                if let Some(place) = self.open_faults.remove(fault) {
                    case.faults[place].to_us = at_us;
                    // Marked here, removed at the end: places must not move.
                    if failed.is_some() {
                        case.faults[place].name = "";
                    }
                }
            }
            What::LastHeal => case.last_heal_us = Some(at_us),
            What::Drained => case.drained_us = Some(at_us),
            What::Republished { .. } => case.republished.push(at_us),
            _ => {}
        }
    }

    // --- calls ---

    fn answer(&mut self, sent: Sent<'a>, back: Back<'a>) {
        match sent.op {
            Op::Create(order) => {
                let shown = match back.answer {
                    Some(Answer::Created { order, replayed }) => Some((order, *replayed)),
                    _ => None,
                };
                self.created(&sent, &back, 0, order, outcome(back.code, back.reason, shown));
            }
            Op::CreateBatch { orders } => self.batch(&sent, &back, orders),
            Op::Move { .. } => self.moved(&sent, &back),
            Op::Get { order_id } | Op::History { order_id } => self.looked(&sent, &back, order_id),
            Op::Bad { .. } => {}
        }
    }

    fn batch(&mut self, sent: &Sent<'a>, back: &Back<'a>, orders: &'a [NewOrder]) {
        let results: &[BatchResult] = match back.answer {
            Some(Answer::Batch { results }) => results,
            _ => &[],
        };
        for (place, order) in orders.iter().enumerate() {
            let outcome = match results.get(place) {
                Some(BatchResult { code, order, replayed }) => {
                    outcome(code, None, order.as_ref().map(|order| (order, *replayed)))
                }
                None => outcome(back.code, back.reason, None),
            };
            self.created(sent, back, place, order, outcome);
        }
    }

    fn created(
        &mut self,
        sent: &Sent<'a>,
        back: &Back<'a>,
        place: usize,
        asked: &'a NewOrder,
        outcome: Outcome<&'a Order>,
    ) {
        if let Outcome::Ok { shown, replayed } = outcome {
            self.mention(&shown.order_id, &[sent.line, back.line]);
            self.see(&shown.order_id, Some(sent.at_us), back.at_us, shown.version);
            if !replayed {
                self.bound_lead(shown.create_time_us, sent.at_us);
            }
        }
        let attempt = Attempt { call: (sent.call, place), sent_us: sent.at_us, asked, outcome };
        self.case.creates.push(attempt);
    }

    fn moved(&mut self, sent: &Sent<'a>, back: &Back<'a>) {
        let Some(asked) = command(sent.op) else { return };
        self.mention(asked.order_id, &[sent.line, back.line]);
        let shown = moved(back.answer);
        if let Some((transition, replayed)) = shown {
            self.see(&transition.order_id, None, back.at_us, transition.version);
            if !replayed {
                self.bound_lead(transition.time_us, sent.at_us);
            }
        }
        let outcome = outcome(back.code, back.reason, shown);
        self.case.moves.push(Attempt { call: (sent.call, 0), sent_us: sent.at_us, asked, outcome });
    }

    fn looked(&mut self, sent: &Sent<'a>, back: &Back<'a>, order_id: &'a str) {
        self.mention(order_id, &[sent.line, back.line]);
        let version = match back.answer {
            Some(Answer::Order { order }) => Some(order.version),
            Some(Answer::History { transitions }) => transitions.last().map(|transition| transition.version),
            _ => None,
        };
        if let Some(version) = version {
            self.see(order_id, Some(sent.at_us), back.at_us, version);
        }
        let (sent_us, done_us) = (sent.at_us, back.at_us);
        self.case.reads.push(Read { sent_us, done_us, order_id, code: back.code, answer: back.answer });
    }

    /// What was stamped by the database after a call was sent can not be older than the call.
    fn bound_lead(&mut self, time_us: i64, sent_us: u64) {
        let lead = time_us - i64::try_from(sent_us).unwrap_or(i64::MAX);
        self.case.lead_us = Some(self.case.lead_us.map_or(lead, |least| least.min(lead)));
    }

    // --- streams ---

    fn take_stream(&mut self, at: usize, line: &'a Line) {
        let number = match &line.what {
            What::Watch { stream, order_id, after_version, .. } => {
                self.open(*stream, line.at_us, Kind::One { order_id, after_version: *after_version })
            }
            What::WatchAll { stream, customer_id, start, .. } => {
                self.open(*stream, line.at_us, Kind::All { customer_id, start })
            }
            What::Event { stream, .. } | What::StreamEnd { stream, .. } => *stream,
            _ => return,
        };
        let Some(stream) = self.case.streams.get_mut(&number) else { return };
        let opened_us = stream.opened_us;
        let mut shown = None;
        match &line.what {
            What::Event { event, .. } => {
                stream.events.push((line.at_us, event));
                shown = match event {
                    Event::Transition { transition } => Some((&transition.order_id, None, transition.version)),
                    Event::Current { order } => Some((&order.order_id, Some(opened_us), order.version)),
                    _ => None,
                };
            }
            What::StreamEnd { code, reason, .. } => stream.end = Some((line.at_us, code, reason.as_deref())),
            _ => {}
        }
        let watched = match stream.kind {
            Kind::One { order_id, .. } => Some(order_id),
            Kind::All { .. } => shown.map(|(order_id, ..)| order_id.as_str()),
        };
        if let Some(order_id) = watched {
            self.mention(order_id, &[at]);
        }
        if let Some((order_id, asked_us, version)) = shown {
            self.see(order_id, asked_us, line.at_us, version);
        }
    }

    fn open(&mut self, stream: u64, opened_us: u64, kind: Kind<'a>) -> u64 {
        self.case.streams.insert(stream, Stream { stream, kind, opened_us, events: Vec::new(), end: None });
        stream
    }

    // --- what was left ---

    fn take_remains(&mut self, at: usize, what: &'a What) {
        match what {
            What::Workflow(workflow) => {
                self.case.workflows.insert((&workflow.name, workflow.revision), workflow);
            }
            What::OrderRow(row) => self.mention(&row.order_id, &[at]).rows.push(row),
            What::RequestRow { request_id, order_id } => {
                self.mention(order_id, &[at]).requests.push(request_id);
                self.case.requests.entry(request_id).or_default().push(order_id);
            }
            What::StateRow { order_id, version, status, phase, due_time_us } => {
                let row = StateRow { version: *version, status, phase, due_time_us: *due_time_us };
                self.mention(order_id, &[at]).states.push(row);
            }
            What::TransitionRow { transition, request_id } => {
                let step = Step { transition, request_id: request_id.as_deref() };
                self.mention(&transition.order_id, &[at]).steps.push(step);
            }
            What::MailRow { order_id, version, copy, state, attempts, message_id, recipient } => {
                let (version, copy, attempts) = (*version, *copy, *attempts);
                let row = MailRow { version, copy, state, attempts, message_id, recipient };
                let lines = self.mail_lines.remove(message_id.as_str()).unwrap_or_default();
                let order = self.mention(order_id, &lines);
                order.lines.push(at);
                order.mails.push(row);
            }
            What::OutboxRow { order_id, .. } => _ = self.mention(order_id, &[at]),
            What::Record { .. } => self.take_record(at, what),
            _ => {}
        }
    }

    fn take_record(&mut self, at: usize, what: &'a What) {
        let What::Record { topic, log, partition, offset, key, content } = what else { return };
        let place = Place { log: *log, partition: *partition, offset: *offset };
        let logs = self.case.logs.entry(*topic).or_default();
        *logs = (*logs).max(*log);
        let occurrence = Occurrence { place, key, content };
        match content {
            RecordContent::Placed { order_id, .. } => self.mention(order_id, &[at]).placed.push(occurrence),
            RecordContent::Transition { transition } => {
                self.mention(&transition.order_id, &[at]).transitions.push(occurrence);
            }
            RecordContent::Planted => self.case.strange_records.push(Strange { topic: *topic, place, key, why: None }),
            RecordContent::Unreadable { why } => {
                self.case.strange_records.push(Strange { topic: *topic, place, key, why: Some(why) });
            }
        }
    }

    // --- orders ---

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
        case.faults.retain(|fault| !fault.name.is_empty());
        for order in case.orders.values_mut() {
            order.steps.sort_by_key(|step| step.transition.version);
            order.placed.sort_by_key(|record| record.place);
            order.transitions.sort_by_key(|record| record.place);
            order.mails.sort_by_key(|mail| (mail.version, mail.copy));
            order.sightings.sort_by_key(|sighting| sighting.seen_us);
            order.lines.sort_unstable();
            order.lines.dedup();
        }
        case
    }
}
