//! Calls and what became of them.

use crate::{
    codes::{Meaning, meaning},
    history::{Answer, NewOrder, Op, Order, Transition},
};

/// One try to change something.
#[derive(Clone, Debug)]
pub struct Attempt<'a, Asked, Shown> {
    /// The call, and the place in it where it is a batch.
    pub call: (u64, usize),
    /// Whose data its client may reach.
    pub tenant: &'a str,
    /// When it was sent.
    pub sent_us: u64,
    /// When its client stopped waiting.
    pub done_us: u64,
    /// What was asked for.
    pub asked: Asked,
    /// What the client was left with.
    pub outcome: Outcome<Shown>,
}

/// What the client of a try was left with.
#[derive(Clone, Debug)]
pub enum Outcome<Shown> {
    /// Applied.
    Ok {
        /// What was shown.
        shown: Shown,
        /// Whether an earlier try is said to have done it.
        replayed: bool,
    },
    /// Not applied, for sure.
    Refused {
        /// gRPC's name of the code.
        code: String,
        /// The reason in the error's details.
        reason: Option<String>,
    },
    /// Perhaps applied.
    Unknown,
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// `advance`, `cancel` or `reject`.
    pub trigger: &'a str,
    /// The order.
    pub order_id: &'a str,
    /// The caller's id of the command.
    pub request_id: Option<&'a str>,
    /// Only while the order has this version.
    pub expected_version: Option<i64>,
    /// Into this status, of several.
    pub to_status: Option<&'a str>,
}

/// A look at one order.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    /// Whose data its client may reach.
    pub tenant: &'a str,
    /// When it was asked.
    pub sent_us: u64,
    /// When it was answered.
    pub done_us: u64,
    /// The order.
    pub order_id: &'a str,
    /// The code.
    pub code: &'a str,
    /// What was shown, where the code is `OK`.
    pub answer: Option<&'a Answer>,
}

/// What makes two tries to create an order one: the request id, or else that they are the same try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity<'a> {
    /// Tries with a request id.
    Request(&'a str),
    /// A try without.
    Single((u64, usize)),
}

impl<Asked, Shown> Attempt<'_, Asked, Shown> {
    /// Whether it may have been applied.
    pub fn may_have_applied(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused { .. })
    }
}

impl<'a> Attempt<'a, &'a NewOrder, &'a Order> {
    /// What it is the same as.
    pub fn identity(&self) -> Identity<'a> {
        self.asked.request_id.as_deref().map_or(Identity::Single(self.call), Identity::Request)
    }

    /// What an OK showed.
    pub fn shown(&self) -> Option<&'a Order> {
        match self.outcome {
            Outcome::Ok { shown, .. } => Some(shown),
            _ => None,
        }
    }
}

/// The outcome of a code and what came with it. An OK that shows nothing is as good as unknown.
pub fn outcome<Shown>(code: &str, reason: Option<&String>, shown: Option<(Shown, bool)>) -> Outcome<Shown> {
    match (meaning(code), shown) {
        (Meaning::Ok, Some((shown, replayed))) => Outcome::Ok { shown, replayed },
        (Meaning::Refused, _) => Outcome::Refused { code: code.into(), reason: reason.cloned() },
        _ => Outcome::Unknown,
    }
}

/// The command in a call.
pub fn command(op: &Op) -> Option<Move<'_>> {
    match op {
        Op::Move { trigger, order_id, request_id, expected_version, to_status } => Some(Move {
            trigger,
            order_id,
            request_id: request_id.as_deref(),
            expected_version: *expected_version,
            to_status: to_status.as_deref(),
        }),
        _ => None,
    }
}

/// The transition that an answer shows.
pub fn moved(answer: Option<&Answer>) -> Option<(&Transition, bool)> {
    match answer {
        Some(Answer::Moved { transition, replayed }) => Some((transition, *replayed)),
        _ => None,
    }
}
