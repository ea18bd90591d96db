//! What a batch writes, and from what each of its commands is answered. At most one write for each order: the statement compares the version
//! that was read, so a second one could not succeed.

use std::collections::{HashMap, HashSet};

use comanda_kit::errors::ApiError;
use comanda_proto::v1::OrderTransition;
use uuid::Uuid;

use super::{NotDone, Outcome};
use crate::store::{Answered, Asked, Move, State};

/// What is to be done about a command.
#[derive(Debug)]
pub enum Verdict {
    /// Its request id was answered before, with this version of the order.
    Earlier(Uuid, i64),
    /// The order is in the wanted status. The request id is bound all the same: after the order has moved on, a repetition must not move it
    /// back.
    Present(State, Option<Asked>),
    /// The order takes a step.
    Step(Box<Move>),
}

/// What a batch does.
#[derive(Debug, Default)]
pub struct Plan {
    /// Transitions to write.
    pub moves: Vec<Move>,
    /// Request ids to bind, with the ids of their orders.
    pub bindings: Vec<(Uuid, Answered)>,
    /// The orders of these two.
    written: HashSet<Uuid>,
    sources: Vec<Result<Source, NotDone>>,
}

/// What a command is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The transition that is written for this order.
    Move(Uuid),
    /// A transition that is there, once the request id is bound.
    Binding(Uuid, i64),
    /// A transition that is there.
    Transition(Uuid, i64),
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Done {
    /// By order: the transition that was written, or why it was not. An order that is not here has lost a race.
    pub moved: HashMap<Uuid, Result<OrderTransition, NotDone>>,
    /// By order: whether a request id was bound. As above.
    pub bound: HashMap<Uuid, Result<(), NotDone>>,
    /// Transitions that were there, by order and version.
    pub read: HashMap<(Uuid, i64), Result<OrderTransition, NotDone>>,
}

impl Plan {
    /// Adds the next command of the batch.
    pub fn add(&mut self, verdict: Result<Verdict, NotDone>) {
        let source = verdict.and_then(|verdict| self.source(verdict));
        self.sources.push(source);
    }

    fn source(&mut self, verdict: Verdict) -> Result<Source, NotDone> {
        match verdict {
            Verdict::Earlier(order_id, version) => Ok(Source::Transition(order_id, version)),
            Verdict::Present(State { order_id, version, .. }, None) => Ok(Source::Transition(order_id, version)),
            Verdict::Present(State { order_id, version, .. }, Some(asked)) => {
                self.claim(order_id)?;
                self.bindings.push((order_id, Answered { asked, version }));
                Ok(Source::Binding(order_id, version))
            }
            Verdict::Step(step) => {
                let order_id = step.from.order_id;
                self.claim(order_id)?;
                self.moves.push(*step);
                Ok(Source::Move(order_id))
            }
        }
    }

    fn claim(&mut self, order_id: Uuid) -> Result<(), NotDone> {
        if self.written.insert(order_id) { Ok(()) } else { Err(NotDone::HeldBack) }
    }

    /// Transitions to read, by order and version.
    pub fn to_read(&self) -> HashSet<(Uuid, i64)> {
        let sources = self.sources.iter().flatten();
        sources
            .filter_map(|source| match *source {
                Source::Move(_) => None,
                Source::Binding(order_id, version) | Source::Transition(order_id, version) => Some((order_id, version)),
            })
            .collect()
    }

    /// The answers, in the order of the batch.
    pub fn answers(self, mut done: Done) -> Vec<Result<Outcome, NotDone>> {
        self.sources.into_iter().map(|source| done.answer(source?)).collect()
    }
}

impl Done {
    fn answer(&mut self, source: Source) -> Result<Outcome, NotDone> {
        let (transition, replayed) = match source {
            Source::Move(order_id) => (self.moved.remove(&order_id).unwrap_or(Err(NotDone::Lost))?, false),
            Source::Binding(order_id, version) => {
                self.bound.remove(&order_id).unwrap_or(Err(NotDone::Lost))?;
                (self.transition(order_id, version)?, true)
            }
            Source::Transition(order_id, version) => (self.transition(order_id, version)?, true),
        };
        Ok(Outcome { transition, replayed })
    }

    fn transition(&self, order_id: Uuid, version: i64) -> Result<OrderTransition, NotDone> {
        let found = self.read.get(&(order_id, version)).cloned();
        found.unwrap_or_else(|| Err(ApiError::order_not_found(order_id).into()))
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{Phase, Trigger};
    use time::OffsetDateTime;

    use super::*;
    use crate::machine::{Dwell, Step};

    fn state(order_id: Uuid) -> State {
        State {
            order_id,
            version: 3,
            status: "preparing".into(),
            status_time: OffsetDateTime::UNIX_EPOCH,
            workflow: "delivery".into(),
            workflow_revision: 1,
        }
    }

    fn step(order_id: Uuid) -> Result<Verdict, NotDone> {
        let step = Step { to_status: "dispatched".into(), phase: Phase::Active, dwell: Dwell::Forever };
        let (from, trigger) = (state(order_id), Trigger::Advance);
        let step = Move { from, step, trigger, actor: String::new(), reason: String::new(), request: None };
        Ok(Verdict::Step(Box::new(step)))
    }

    fn present(order_id: Uuid) -> Result<Verdict, NotDone> {
        let asked = Asked { request_id: Uuid::new_v4(), trigger: Trigger::Advance, status: "preparing".into() };
        Ok(Verdict::Present(state(order_id), Some(asked)))
    }

    fn plan(verdicts: impl IntoIterator<Item = Result<Verdict, NotDone>>) -> Plan {
        let mut plan = Plan::default();
        verdicts.into_iter().for_each(|verdict| plan.add(verdict));
        plan
    }

    fn transition(order_id: Uuid, version: i64) -> OrderTransition {
        OrderTransition { order_id: order_id.to_string(), version, ..OrderTransition::default() }
    }

    #[test]
    fn an_order_is_written_once_and_its_other_commands_are_held_back_or_answered() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let earlier = Ok(Verdict::Earlier(one, 2));
        let plan = plan([step(one), present(one), earlier, present(other), step(other), step(one)]);
        assert_eq!((plan.moves.len(), plan.bindings.len()), (1, 1));
        assert_eq!(plan.to_read(), HashSet::from([(one, 2), (other, 3)]));
        let read = [(one, 2), (other, 3)].map(|(id, version)| ((id, version), Ok(transition(id, version))));
        let done =
            Done { moved: [(one, Ok(transition(one, 4)))].into(), bound: [(other, Ok(()))].into(), read: read.into() };
        let answers: Vec<_> = plan
            .answers(done)
            .into_iter()
            .map(|answer| match answer {
                Ok(Outcome { transition, replayed }) => Ok((transition.version, replayed)),
                Err(NotDone::HeldBack) => Err("held back"),
                Err(_) => Err("another"),
            })
            .collect();
        let held_back = Err("held back");
        assert_eq!(answers, [Ok((4, false)), held_back, Ok((2, true)), Ok((3, true)), held_back, held_back]);
    }

    #[test]
    fn what_was_not_written_has_lost_a_race_whatever_was_read() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let read = [((other, 3), Ok(transition(other, 3)))].into();
        let answers = plan([step(one), present(other)]).answers(Done { read, ..Done::default() });
        assert!(answers.iter().all(|answer| matches!(answer, Err(NotDone::Lost))), "{answers:?}");
    }

    #[test]
    fn a_command_that_is_refused_keeps_no_other_from_its_order() {
        let order_id = Uuid::now_v7();
        let refused = Err(NotDone::Refused(ApiError::order_not_found(order_id)));
        let plan = plan([refused, step(order_id)]);
        assert_eq!(plan.moves.len(), 1);
        let moved = [(order_id, Ok(transition(order_id, 4)))].into();
        let answers = plan.answers(Done { moved, ..Done::default() });
        assert!(matches!(answers[..], [Err(NotDone::Refused(_)), Ok(_)]), "{answers:?}");
    }
}
