//! What dispatch does by itself or for a caller, as changes. Pure: no I/O and no clock.

use comanda_proto::{
    events::AssignmentEventType as Type,
    v1::{AssignmentOutcome, AssignmentState, WorkflowDispatch},
};
use time::{Duration, OffsetDateTime};

use crate::{
    change::{By, Change, event, step},
    jobs::{Stage, stage},
    model::{Assignment, Case, JobState},
    store::Claim,
};

/// A courier for an order, as it was chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The courier.
    pub courier_id: String,
    /// When it is expected at the pickup.
    pub pickup: OffsetDateTime,
    /// When it is expected at the drop-off.
    pub dropoff: OffsetDateTime,
    /// For how long it has had nothing to do.
    pub idle: Option<Duration>,
    /// Until when it may accept; `None` gives it the order without asking.
    pub offered_until: Option<OffsetDateTime>,
}

/// Gives or offers an order to a courier.
pub fn claim(dispatch: &WorkflowDispatch, case: &Case, choice: Choice, by: By<'_>) -> Claim {
    let Case { job, now, .. } = case;
    let is_offer = choice.offered_until.is_some();
    let to_status = if is_offer { "" } else { dispatch.allotted.as_str() };
    let allotted_now = (!is_offer).then_some(*now);
    let assignment = Assignment {
        order_id: job.order_id,
        attempt: job.attempts + 1,
        tenant: job.tenant.clone(),
        courier_id: choice.courier_id,
        state: if is_offer { AssignmentState::Offered } else { AssignmentState::Active } as i16,
        outcome: AssignmentOutcome::Unspecified as i16,
        offered_until: choice.offered_until,
        promised_pickup_time: choice.pickup,
        expected_pickup_time: Some(choice.pickup),
        expected_dropoff_time: Some(choice.dropoff),
        create_time: *now,
        allot_time: allotted_now,
        confirm_time: allotted_now.filter(|_| dispatch.allotted.is_empty()),
        arrive_time: None,
        pickup_time: None,
        delay_told_time: None,
        ended_at: None,
    };
    let kind = if is_offer { Type::Offered } else { Type::Allotted };
    let step = step(job, job.event_version + 1, to_status);
    let mut event = event(job, Some(&assignment), kind, by, step);
    event.idle_duration = choice.idle.filter(|_| !is_offer).and_then(idle_duration);
    Claim { decided_on: (job.event_version, job.order_version), assignment, event, request_id: None }
}

/// How long a courier was idle, as it is told.
pub fn idle_duration(idle: Duration) -> Option<prost_types::Duration> {
    idle.is_positive()
        .then(|| prost_types::Duration { seconds: idle.whole_seconds(), nanos: idle.subsec_nanoseconds() })
}

/// The courier takes an offer.
pub fn accept(dispatch: &WorkflowDispatch, case: &Case, idle: Option<Duration>, by: By<'_>) -> Change {
    let mut change = Change::of(case);
    let time = change.time;
    if let Some(assignment) = &mut change.assignment {
        assignment.state = AssignmentState::Active as i16;
        assignment.allot_time = Some(time);
        assignment.confirm_time = Some(time).filter(|_| dispatch.allotted.is_empty());
    }
    let mut change = change.tell(Type::Allotted, by, &dispatch.allotted);
    if let Some(event) = &mut change.event {
        event.idle_duration = idle.and_then(idle_duration);
    }
    change
}

/// The courier refuses an offer, or lets it expire: it is not asked again, and the order waits for another one.
pub fn refuse(case: &Case, outcome: AssignmentOutcome, by: By<'_>) -> Change {
    let kind = if outcome == AssignmentOutcome::Declined { Type::Declined } else { Type::Expired };
    Change::of(case).exclude().end(outcome).requeue().tell(kind, by, "")
}

/// Takes an assignment back before the pickup. Where the order has left the queue, or is about to, it is to come back to it and waits again once
/// it has; elsewhere it waits at once.
pub fn take_back(dispatch: &WorkflowDispatch, case: &Case, outcome: AssignmentOutcome, by: By<'_>) -> Change {
    let is_active = case.assignment.as_ref().is_some_and(|assignment| assignment.state() == AssignmentState::Active);
    let has_left = stage(dispatch, &case.job.order_status) != Stage::Wanted || case.job.step_version.is_some();
    let change = Change::of(case).end(outcome);
    let change = if outcome == AssignmentOutcome::Withdrawn { change.exclude() } else { change };
    if is_active && has_left && !dispatch.withdrawn.is_empty() {
        change.tell(Type::Released, by, &dispatch.withdrawn)
    } else {
        change.requeue().tell(Type::Released, by, "")
    }
}

/// The courier is at the pickup.
pub fn arrive(dispatch: &WorkflowDispatch, case: &Case, by: By<'_>) -> Change {
    let mut change = Change::of(case);
    let time = change.time;
    if let Some(assignment) = &mut change.assignment {
        assignment.arrive_time = Some(time);
    }
    change.tell(Type::Arrived, by, &dispatch.arriving)
}

/// The courier has picked up what it carries.
pub fn pick_up(dispatch: &WorkflowDispatch, case: &Case, by: By<'_>) -> Change {
    let mut change = Change::of(case);
    let time = change.time;
    if let Some(assignment) = &mut change.assignment {
        assignment.pickup_time = Some(time);
    }
    change.tell(Type::PickedUp, by, &dispatch.picked_up)
}

/// The job is done.
pub fn complete(dispatch: &WorkflowDispatch, case: &Case, by: By<'_>) -> Change {
    Change::of(case).end(AssignmentOutcome::Completed).tell(Type::Completed, by, &dispatch.completed)
}

/// The search for a courier ends. Where the workflow has no status for that, the order waits until somebody else moves it.
pub fn give_up(dispatch: &WorkflowDispatch, case: &Case, reason: &'static str) -> Change {
    let mut change = Change::of(case);
    change.assignment = None;
    change.job.state = JobState::Done;
    change.tell(Type::GivenUp, By::system(reason), &dispatch.given_up)
}

/// A courier is silent after the pickup: nothing changes, but somebody should look.
pub fn alarm(case: &Case) -> Change {
    Change::of(case).tell(Type::CourierSilent, By::system("COURIER_SILENT"), "")
}

/// How long before its pickup time a courier is looked for, beside the time that the way takes.
pub const EARLY: Duration = Duration::minutes(15);
/// The longest way that is reckoned with: before it and [`EARLY`] a scheduled order is not even looked at.
pub const MOST_WAY: Duration = Duration::minutes(60);

/// When a courier for a scheduled order is to be found, told from the nearest one's way to the pickup.
pub fn time_to_leave(start: OffsetDateTime, way: Duration) -> OffsetDateTime {
    start - EARLY - way.min(MOST_WAY)
}
