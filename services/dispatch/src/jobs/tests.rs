use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::*;
use crate::model::{Assignment, Job};

const NOON: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);

fn ride() -> WorkflowDispatch {
    WorkflowDispatch {
        wanted_in: vec!["requested".into()],
        allotted: "confirmed".into(),
        arriving: "arriving".into(),
        picked_up: "on_trip".into(),
        completed: "completed".into(),
        given_up: "no_driver".into(),
        withdrawn: "requested".into(),
    }
}

fn delivery() -> WorkflowDispatch {
    WorkflowDispatch {
        wanted_in: vec!["preparing".into(), "ready".into()],
        picked_up: "dispatched".into(),
        completed: "delivered".into(),
        ..WorkflowDispatch::default()
    }
}

fn case(status: &str, state: JobState, assignment: Option<Assignment>) -> Case {
    let job = Job {
        order_id: Uuid::from_u128(7),
        tenant: "acme".into(),
        number: 1042,
        workflow: "ride".into(),
        workflow_revision: 1,
        order_version: 1,
        order_status: status.into(),
        event_version: 4,
        state,
        not_before: NOON,
        waiting_since: NOON,
        attempts: 1,
        declined: Vec::new(),
        step_version: Some(4),
        step_expects: Some(1),
    };
    Case { job, assignment, now: NOON + time::Duration::seconds(9) }
}

fn assignment(state: AssignmentState) -> Assignment {
    Assignment {
        order_id: Uuid::from_u128(7),
        attempt: 1,
        tenant: "acme".into(),
        courier_id: "c-1".into(),
        state: state as i16,
        outcome: 0,
        offered_until: None,
        promised_pickup_time: NOON,
        expected_pickup_time: Some(NOON),
        expected_dropoff_time: Some(NOON),
        create_time: NOON,
        allot_time: Some(NOON),
        confirm_time: None,
        arrive_time: None,
        pickup_time: None,
        delay_told_time: None,
        ended_at: None,
    }
}

fn taken(status: &str) -> Case {
    case(status, JobState::Taken, Some(assignment(AssignmentState::Active)))
}

fn offered(status: &str) -> Case {
    case(status, JobState::Taken, Some(assignment(AssignmentState::Offered)))
}

fn seen(status: &str) -> Seen {
    Seen {
        order_id: Uuid::from_u128(7),
        number: 1042,
        workflow: "ride".into(),
        workflow_revision: 1,
        version: 2,
        status: status.into(),
        actor: "ana".into(),
    }
}

/// State of the job, outcome of the assignment, and what is told.
fn after(dispatch: &WorkflowDispatch, case: &Case, status: &str) -> (JobState, AssignmentOutcome, Option<Type>) {
    let change = follow(dispatch, case, &seen(status));
    assert_eq!((change.decided_on, change.job.order_version, change.job.step_version), ((4, 1), 2, None));
    assert!(change.event.iter().all(|event| event.step.is_none()), "what was seen asks for no step");
    let outcome = change.assignment.map_or(AssignmentOutcome::Unspecified, |assignment| assignment.outcome());
    (change.job.state, outcome, change.event.map(|event| event.r#type()))
}

const OPEN: AssignmentOutcome = AssignmentOutcome::Unspecified;
const MOVED: AssignmentOutcome = AssignmentOutcome::OrderMoved;

#[test]
fn the_status_of_an_allotted_order_confirms_its_assignment() {
    let case = taken("requested");
    assert_eq!(after(&ride(), &case, "confirmed"), (JobState::Taken, OPEN, None));
    let confirmed = follow(&ride(), &case, &seen("confirmed")).assignment.expect("there");
    assert_eq!(confirmed.confirm_time, Some(case.now));
}

#[test]
fn an_order_that_somebody_else_moves_along_the_way_keeps_its_courier() {
    assert_eq!(after(&ride(), &taken("confirmed"), "arriving"), (JobState::Taken, OPEN, Some(Type::Arrived)));
    assert_eq!(after(&ride(), &taken("arriving"), "on_trip"), (JobState::Taken, OPEN, Some(Type::PickedUp)));
    let mut known = taken("arriving");
    known.assignment.as_mut().expect("there").pickup_time = Some(NOON);
    assert_eq!(after(&ride(), &known, "on_trip"), (JobState::Taken, OPEN, None), "it was told before");
}

#[test]
fn an_end_or_a_foreign_status_releases_the_assignment() {
    for status in ["cancelled", "no_driver", "completed", "lost"] {
        assert_eq!(after(&ride(), &taken("requested"), status), (JobState::Done, MOVED, Some(Type::Released)));
        assert_eq!(after(&ride(), &offered("requested"), status), (JobState::Done, MOVED, Some(Type::Released)));
        assert_eq!(after(&ride(), &case("requested", JobState::Waiting, None), status), (JobState::Done, OPEN, None));
    }
}

#[test]
fn an_offer_of_an_order_that_somebody_else_confirmed_ends() {
    assert_eq!(after(&ride(), &offered("requested"), "confirmed"), (JobState::Done, MOVED, Some(Type::Released)));
}

#[test]
fn an_order_that_comes_back_waits_again() {
    let back = follow(&ride(), &case("confirmed", JobState::Done, None), &seen("requested"));
    assert_eq!((back.job.state, back.job.waiting_since), (JobState::Waiting, back.time));
    assert_eq!(after(&ride(), &taken("confirmed"), "requested"), (JobState::Waiting, MOVED, Some(Type::Released)));
}

#[test]
fn a_courier_keeps_an_order_that_goes_on_among_the_statuses_that_need_one() {
    assert_eq!(after(&delivery(), &taken("preparing"), "ready"), (JobState::Taken, OPEN, None));
    assert_eq!(after(&delivery(), &offered("preparing"), "ready"), (JobState::Taken, OPEN, None));
    assert_eq!(after(&ride(), &offered("requested"), "requested"), (JobState::Taken, OPEN, None));
    let mut carried = taken("dispatched");
    carried.assignment.as_mut().expect("there").pickup_time = Some(NOON);
    assert_eq!(after(&delivery(), &carried, "ready"), (JobState::Waiting, MOVED, Some(Type::Released)));
}

#[test]
fn a_step_is_answered_by_a_version_above_the_one_that_it_expects() {
    let mut case = taken("confirmed");
    case.job.step_expects = Some(2);
    assert_eq!(case.job.next_version(), 3, "the next step comes after the one that is under way");
    let change = follow(&ride(), &case, &seen("confirmed"));
    assert_eq!((change.job.step_version, change.job.next_version()), (Some(4), 3));
    let change = follow(&ride(), &case, &Seen { version: 3, ..seen("arriving") });
    assert_eq!((change.job.step_version, change.job.next_version()), (None, 3));
}

#[test]
fn nothing_is_waited_for_once_the_order_has_left_the_way_of_the_job() {
    // Each step of the courier expects the version that the one before gives; the order was cancelled after the first.
    let mut case = case("confirmed", JobState::Done, None);
    case.job.step_expects = Some(4);
    let change = follow(&ride(), &case, &Seen { version: 3, ..seen("cancelled") });
    assert_eq!((change.job.state, change.job.step_version, change.job.next_version()), (JobState::Done, None, 3));
    let change = follow(&ride(), &case, &Seen { version: 3, ..seen("on_trip") });
    assert_eq!((change.job.step_version, change.job.next_version()), (Some(4), 5), "they may still be taken");
}

#[test]
fn what_waits_goes_on_waiting_from_when_it_began() {
    let moved = follow(&delivery(), &case("preparing", JobState::Waiting, None), &seen("ready"));
    assert_eq!((moved.job.state, moved.job.waiting_since, moved.job.order_version), (JobState::Waiting, NOON, 2));
}
