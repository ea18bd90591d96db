//! From the status that an order has to what its job needs. Pure: no I/O and no clock.

use comanda_kit::planted;
use comanda_proto::{
    events::AssignmentEventType as Type,
    v1::{AssignmentOutcome, AssignmentState, WorkflowDispatch},
};

use crate::{
    change::{By, Change},
    model::{Case, JobState},
    store::Seen,
};

/// Where a status stands on the way of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The order needs a courier.
    Wanted,
    /// A courier was found.
    Allotted,
    /// The courier is at the pickup.
    Arriving,
    /// The courier has it.
    PickedUp,
    /// Whatever else: the order has ended, or somebody else moved it on.
    Elsewhere,
}

/// Where a status stands in a workflow that asks for couriers.
pub fn stage(dispatch: &WorkflowDispatch, status: &str) -> Stage {
    let is = |named: &str| !named.is_empty() && named == status;
    match () {
        () if dispatch.wanted_in.iter().any(|wanted| wanted == status) => Stage::Wanted,
        () if is(&dispatch.allotted) => Stage::Allotted,
        () if is(&dispatch.arriving) => Stage::Arriving,
        () if is(&dispatch.picked_up) => Stage::PickedUp,
        () => Stage::Elsewhere,
    }
}

/// What becomes of a job whose order was seen in a newer version.
pub fn follow(dispatch: &WorkflowDispatch, case: &Case, seen: &Seen) -> Change {
    let mut change = Change::of(case);
    change.job.note(seen.version, &seen.status);
    match stage(dispatch, &seen.status) {
        Stage::Wanted => wanted(dispatch, change),
        Stage::Elsewhere => {
            // Steps may expect versions that the order never gets now: they would be repeated for ever.
            change.job.forget_steps();
            over(change)
        }
        stage => carried(change, stage, &seen.actor),
    }
}

/// The order needs a courier: a job that has none waits again, and one whose courier should have moved the order on starts from the beginning.
fn wanted(dispatch: &WorkflowDispatch, change: Change) -> Change {
    let Some(assignment) = &change.assignment else {
        return if change.job.state == JobState::Done { change.requeue() } else { change };
    };
    let is_offer = assignment.state() == AssignmentState::Offered;
    let was_moved_on =
        !dispatch.allotted.is_empty() || assignment.arrive_time.is_some() || assignment.pickup_time.is_some();
    if is_offer || !was_moved_on { change } else { release(change).requeue() }
}

/// The order has a courier, whether dispatch or a person said so.
fn carried(mut change: Change, stage: Stage, actor: &str) -> Change {
    let (time, by) = (change.time, By { actor, reason: "" });
    let Some(assignment) = &mut change.assignment else { return over(change) };
    if assignment.state() == AssignmentState::Offered {
        return release(change);
    }
    assignment.confirm_time = assignment.confirm_time.or(Some(time));
    if stage == Stage::PickedUp && assignment.pickup_time.is_none() {
        assignment.pickup_time = Some(time);
        return change.tell(Type::PickedUp, by, "");
    }
    if stage == Stage::Arriving && assignment.arrive_time.is_none() {
        assignment.arrive_time = Some(time);
        return change.tell(Type::Arrived, by, "");
    }
    change
}

/// The order needs no courier.
fn over(mut change: Change) -> Change {
    if change.assignment.is_none() || planted!("release-forgotten") {
        change.job.state = JobState::Done;
        return change;
    }
    release(change)
}

fn release(change: Change) -> Change {
    change.end(AssignmentOutcome::OrderMoved).tell(Type::Released, By::system("ORDER_MOVED"), "")
}

#[cfg(test)]
mod tests;
