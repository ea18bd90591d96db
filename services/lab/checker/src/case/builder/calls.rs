//! Calls with their answers.

use super::Builder;
use crate::{
    case::{
        Attempt, CourierCall, Outcome, Read,
        attempt::{command, moved, outcome},
    },
    history::{Answer, BatchResult, NewOrder, Op, Order},
};

/// A call as it was sent.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) call: u64,
    pub(super) tenant: &'a str,
    pub(super) line: usize,
    pub(super) at_us: u64,
    pub(super) op: &'a Op,
}

/// What came back.
pub(super) struct Back<'a> {
    pub(super) line: usize,
    pub(super) at_us: u64,
    pub(super) code: &'a str,
    pub(super) reason: Option<&'a String>,
    pub(super) answer: Option<&'a Answer>,
}

impl<'a> Builder<'a> {
    pub(super) fn answer(&mut self, sent: Sent<'a>, back: Back<'a>) {
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
            Op::Courier { .. } => self.courier(&sent, &back),
            Op::Bad { .. } | Op::Foreign { .. } => {}
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
        let attempt = Attempt {
            call: (sent.call, place),
            tenant: sent.tenant,
            sent_us: sent.at_us,
            done_us: back.at_us,
            asked,
            outcome,
        };
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
        let (call, tenant, sent_us, done_us) = ((sent.call, 0), sent.tenant, sent.at_us, back.at_us);
        self.case.moves.push(Attempt { call, tenant, sent_us, done_us, asked, outcome });
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
        let (tenant, sent_us, done_us) = (sent.tenant, sent.at_us, back.at_us);
        self.case.reads.push(Read { tenant, sent_us, done_us, order_id, code: back.code, answer: back.answer });
    }

    fn courier(&mut self, sent: &Sent<'a>, back: &Back<'a>) {
        let Op::Courier { action, courier_id, order_id, .. } = sent.op else { return };
        if !order_id.is_empty() {
            self.mention(order_id, &[sent.line, back.line]);
        }
        let is_done = back.code == "OK" && back.answer != Some(&Answer::Courier { taken: false });
        let (tenant, sent_us, done_us) = (sent.tenant, sent.at_us, back.at_us);
        let call = CourierCall { tenant, sent_us, done_us, action: *action, courier_id, order_id, is_done };
        self.case.courier_calls.push(call);
    }

    /// What was stamped by the database after a call was sent cannot be older than the call.
    fn bound_lead(&mut self, time_us: i64, sent_us: u64) {
        let lead = time_us - i64::try_from(sent_us).unwrap_or(i64::MAX);
        self.case.lead_us = Some(self.case.lead_us.map_or(lead, |least| least.min(lead)));
    }
}
