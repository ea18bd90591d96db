//! Whether a command may be carried out. Pure: no I/O and no clock.

use comanda_proto::{
    errors::reason,
    v1::{AssignmentOutcome, AssignmentState, WorkflowDispatch},
};
use time::OffsetDateTime;

use crate::model::Assignment;

/// What a caller may ask for with an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Accept,
    Decline,
    Withdraw,
    Arrive,
    PickUp,
    Complete,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Do,
    /// It was carried out before.
    Done,
    /// It may not be: a reason for programs, a sentence for people.
    Refuse(&'static str, &'static str),
}

use Verdict::{Do, Done, Refuse};

const ENDED: Verdict = Refuse(reason::ASSIGNMENT_ENDED, "the assignment has ended");
const EXPIRED: Verdict = Refuse(reason::OFFER_EXPIRED, "the offer has expired");
const NOT_CONFIRMED: Verdict = Refuse(
    reason::NOT_CONFIRMED,
    "the order does not have the status of an allotted one yet; try again a moment later",
);
const PICKED_UP: Verdict = Refuse(reason::ALREADY_PICKED_UP, "it was picked up already");

/// Judges a command for an assignment as it is.
pub fn judge(action: Action, dispatch: &WorkflowDispatch, assignment: &Assignment, now: OffsetDateTime) -> Verdict {
    match action {
        Action::Accept => accept(assignment, now),
        Action::Decline => decline(assignment),
        Action::Withdraw => withdraw(assignment),
        Action::Arrive => arrive(assignment),
        Action::PickUp => pick_up(dispatch, assignment),
        Action::Complete => complete(assignment),
    }
}

fn accept(assignment: &Assignment, now: OffsetDateTime) -> Verdict {
    match assignment.state() {
        _ if assignment.allot_time.is_some() => Done,
        AssignmentState::Offered if assignment.offered_until.is_some_and(|until| now < until) => Do,
        AssignmentState::Offered => EXPIRED,
        _ if assignment.outcome() == AssignmentOutcome::Expired => EXPIRED,
        _ => ENDED,
    }
}

fn decline(assignment: &Assignment) -> Verdict {
    match (assignment.state(), assignment.outcome()) {
        (AssignmentState::Offered, _) => Do,
        (_, AssignmentOutcome::Declined) => Done,
        (AssignmentState::Active, _) => {
            Refuse(reason::ALREADY_ALLOTTED, "the courier has the order: withdraw it instead")
        }
        _ => ENDED,
    }
}

fn withdraw(assignment: &Assignment) -> Verdict {
    match assignment.outcome() {
        AssignmentOutcome::Withdrawn => Done,
        _ if !assignment.is_open() => ENDED,
        _ if assignment.pickup_time.is_some() => PICKED_UP,
        _ => Do,
    }
}

fn arrive(assignment: &Assignment) -> Verdict {
    match () {
        () if assignment.arrive_time.is_some() => Done,
        () if !assignment.is_open() => ENDED,
        () if assignment.pickup_time.is_some() => PICKED_UP,
        () if assignment.confirm_time.is_none() => NOT_CONFIRMED,
        () => Do,
    }
}

fn pick_up(dispatch: &WorkflowDispatch, assignment: &Assignment) -> Verdict {
    match () {
        () if assignment.pickup_time.is_some() => Done,
        () if !assignment.is_open() => ENDED,
        () if assignment.confirm_time.is_none() => NOT_CONFIRMED,
        () if !dispatch.arriving.is_empty() && assignment.arrive_time.is_none() => {
            Refuse(reason::NOT_ARRIVED, "the courier is not at the pickup yet: MarkArrived comes first")
        }
        () => Do,
    }
}

fn complete(assignment: &Assignment) -> Verdict {
    match assignment.outcome() {
        AssignmentOutcome::Completed => Done,
        _ if !assignment.is_open() => ENDED,
        _ if assignment.pickup_time.is_none() => {
            Refuse(reason::NOT_PICKED_UP, "nothing was picked up yet: MarkPickedUp comes first")
        }
        _ => Do,
    }
}
