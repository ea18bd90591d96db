//! Makes a [`Case`] of lines, in one pass and a tidying up.

use std::collections::HashMap;

use super::{
    Attempt, Case, Fault, Kind, MailRow, Occurrence, OrderCase, Place, Read, Sighting, StateRow, Step, Stream,
    attempt::{command, moved, outcome},
};
use crate::history::{Answer, BatchResult, Event, Line, NewOrder, Op, Order, RecordContent, What};

struct Builder<'a> {
    case: Case<'a>,
    /// Calls that are not answered yet: the line that sent them.
    open_calls: HashMap<u64, (usize, &'a Line, &'a Op)>,
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
                self.open_calls.insert(*call, (at, line, op));
            }
            What::Return { call, code, reason, answer } => {
                if let Some(sent) = self.open_calls.remove(call) {
                    self.answer((at, line), *call, sent, code, reason.as_ref(), answer.as_ref());
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
                case.mails.entry(message_id).or_default().push((at_us, recipients, *reply));
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

    fn answer(
        &mut self,
        (at, line): (usize, &'a Line),
        call: u64,
        (sent_at, sent, op): (usize, &'a Line, &'a Op),
        code: &'a str,
        reason: Option<&'a String>,
        answer: Option<&'a Answer>,
    ) {
        match op {
            Op::Create(order) => {
                let shown = match answer {
                    Some(Answer::Created { order, replayed }) => Some((order, *replayed)),
                    _ => None,
                };
                let outcome = outcome(code, reason, shown);
                self.created(&[sent_at, at], line.at_us, sent.at_us, (call, 0), order, outcome);
            }
            Op::CreateBatch { orders } => {
                let results: &[BatchResult] = match answer {
                    Some(Answer::Batch { results }) => results,
                    _ => &[],
                };
                for (place, order) in orders.iter().enumerate() {
                    let outcome = match results.get(place) {
                        Some(result) => {
                            outcome(&result.code, None, result.order.as_ref().map(|order| (order, result.replayed)))
                        }
                        None => outcome(code, reason, None),
                    };
                    self.created(&[sent_at, at], line.at_us, sent.at_us, (call, place), order, outcome);
                }
            }
            Op::Move { order_id, .. } => {
                let Some(asked) = command(op) else { return };
                self.mention(order_id, &[sent_at, at]);
                let shown = moved(answer);
                if let Some((transition, replayed)) = shown {
                    self.see(&transition.order_id, None, line.at_us, transition.version);
                    if !replayed {
                        self.bound_lead(transition.time_us, sent.at_us);
                    }
                }
                let outcome = outcome(code, reason, shown);
                self.case.moves.push(Attempt { call: (call, 0), sent_us: sent.at_us, asked, outcome });
            }
            Op::Get { order_id } | Op::History { order_id } => {
                self.mention(order_id, &[sent_at, at]);
                let version = match answer {
                    Some(Answer::Order { order }) => Some(order.version),
                    Some(Answer::History { transitions }) => transitions.last().map(|transition| transition.version),
                    _ => None,
                };
                if let Some(version) = version {
                    self.see(order_id, Some(sent.at_us), line.at_us, version);
                }
                self.case.reads.push(Read { sent_us: sent.at_us, done_us: line.at_us, order_id, code, answer });
            }
            Op::Bad { .. } => {}
        }
    }

    fn created(
        &mut self,
        lines: &[usize],
        done_us: u64,
        sent_us: u64,
        call: (u64, usize),
        asked: &'a NewOrder,
        outcome: super::Outcome<&'a Order>,
    ) {
        let attempt = Attempt { call, sent_us, asked, outcome };
        if let super::Outcome::Ok { shown, replayed } = attempt.outcome {
            self.mention(&shown.order_id, lines);
            self.see(&shown.order_id, Some(sent_us), done_us, shown.version);
            if !replayed {
                self.bound_lead(shown.create_time_us, sent_us);
            }
        }
        self.case.creates.push(attempt);
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
            RecordContent::Planted => self.case.strange_records.push((*topic, place, key, None)),
            RecordContent::Unreadable { why } => self.case.strange_records.push((*topic, place, key, Some(why))),
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
        open.into_iter().for_each(|(call, sent)| self.never_answered(call, sent));
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

    /// A call without an answer is as good as unknown.
    fn never_answered(&mut self, call: u64, (at, sent, op): (usize, &'a Line, &'a Op)) {
        self.answer((at, sent), call, (at, sent, op), "CANCELLED", None, None);
    }
}
