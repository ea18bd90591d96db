use comanda_proto::{
    events::AssignmentEvent,
    v1::AssignmentState,
    views::{TripRow, timestamp},
};
use uuid::Uuid;

use super::*;
use crate::{
    model::{Assignment, Job, JobState},
    travel::StraightLine,
};

const NOON: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);
/// 10 m/s.
const TRAVEL: StraightLine = StraightLine { kmh: 36 };
/// About a metre.
const METRE: f64 = 1.0 / 111_195.0;

fn north(metres: f64) -> Point {
    Point::new(40.0 + metres * METRE, -3.7).expect("valid")
}

/// The pickup is at 0, the drop-off 6 km north: 10 minutes.
fn trip(start_time: Option<OffsetDateTime>) -> Trip {
    let (pickup, dropoff) = (north(0.0), north(6000.0));
    let row = TripRow {
        order_id: Uuid::nil(),
        tenant: "acme".into(),
        pickup_latitude: pickup.latitude,
        pickup_longitude: pickup.longitude,
        dropoff_latitude: dropoff.latitude,
        dropoff_longitude: dropoff.longitude,
        load: 1,
        vehicle_kind: String::new(),
        zone: String::new(),
        start_time,
    };
    Trip { row, pickup, dropoff }
}

fn at(seconds: i64) -> OffsetDateTime {
    NOON + time::Duration::seconds(seconds)
}

/// Promised and expected at 300 s, dropped off at 900 s; it is now 0 s.
fn case() -> Case {
    let job = Job {
        order_id: Uuid::nil(),
        tenant: "acme".into(),
        number: 1,
        workflow: "ride".into(),
        workflow_revision: 1,
        order_version: 2,
        order_status: "confirmed".into(),
        event_version: 3,
        state: JobState::Taken,
        not_before: NOON,
        waiting_since: NOON,
        attempts: 1,
        declined: Vec::new(),
        step_version: None,
        step_expects: None,
    };
    let assignment = Assignment {
        order_id: Uuid::nil(),
        attempt: 1,
        tenant: "acme".into(),
        courier_id: "c-1".into(),
        state: AssignmentState::Active as i16,
        outcome: 0,
        offered_until: None,
        promised_pickup_time: at(300),
        expected_pickup_time: Some(at(300)),
        expected_dropoff_time: Some(at(900)),
        create_time: NOON,
        allot_time: Some(NOON),
        confirm_time: Some(NOON),
        arrive_time: None,
        pickup_time: None,
        delay_told_time: None,
        ended_at: None,
    };
    Case { job, assignment: Some(assignment), now: NOON }
}

fn with(change: impl FnOnce(&mut Assignment)) -> Case {
    let mut case = case();
    case.assignment.as_mut().map(change);
    case
}

/// What is told: the kind, and the expected times in seconds after noon.
fn told(case: &Case, from: Option<Point>) -> Option<(Type, Option<i64>, Option<i64>)> {
    let change = refresh(case, &trip(None), from, &TRAVEL)?;
    let event: AssignmentEvent = change.event.expect("every change is told");
    let seconds = |time: Option<prost_types::Timestamp>| time.map(|time| time.seconds - NOON.unix_timestamp());
    assert_eq!(change.job.event_version, case.job.event_version + 1);
    assert_eq!(event.step, None, "the order's status stays");
    let assignment = change.assignment.expect("it has one");
    assert_eq!(event.expected_dropoff_time, assignment.expected_dropoff_time.map(timestamp));
    Some((event.r#type(), seconds(event.expected_pickup_time), seconds(event.expected_dropoff_time)))
}

#[test]
fn only_a_change_of_more_than_a_minute_is_told() {
    assert_eq!(told(&case(), Some(north(3000.0))), None, "as expected");
    assert_eq!(told(&case(), Some(north(3600.0))), None, "a minute later");
    let told_late = Some((Type::ExpectedTimeChanged, Some(361), Some(961)));
    assert_eq!(told(&case(), Some(north(3610.0))), told_late);
    assert_eq!(told(&case(), Some(north(-1000.0))), Some((Type::ExpectedTimeChanged, Some(100), Some(700))));
    let never_told = with(|assignment| assignment.expected_pickup_time = None);
    assert_eq!(told(&never_told, Some(north(3000.0))), Some((Type::ExpectedTimeChanged, Some(300), Some(900))));
}

#[test]
fn after_the_pickup_only_the_drop_off_is_expected_and_nothing_is_late() {
    let picked_up = Case { now: at(400), ..with(|assignment| assignment.pickup_time = Some(at(310))) };
    assert_eq!(told(&picked_up, Some(north(1000.0))), None);
    assert_eq!(told(&picked_up, Some(north(0.0))), Some((Type::ExpectedTimeChanged, None, Some(1000))));
}

#[test]
fn a_courier_who_waits_at_the_pickup_is_expected_now_but_not_before_the_order_starts() {
    let arrived = with(|assignment| assignment.arrive_time = Some(NOON));
    assert_eq!(told(&arrived, Some(north(9000.0))), Some((Type::ExpectedTimeChanged, Some(0), Some(600))));
    assert!(refresh(&arrived, &trip(Some(at(290))), None, &TRAVEL).is_none());
}

#[test]
fn without_a_position_the_last_expectation_holds_until_it_has_passed() {
    assert_eq!(told(&case(), None), None);
    let late = Case { now: at(200), ..with(|assignment| assignment.expected_pickup_time = Some(at(100))) };
    assert_eq!(told(&late, None), Some((Type::ExpectedTimeChanged, Some(200), Some(800))));
}

#[test]
fn a_broken_promise_is_told_at_once_and_then_each_five_minutes() {
    let late = |now: i64, told: Option<i64>| Case {
        now: at(now),
        ..with(|assignment| {
            assignment.expected_pickup_time = Some(at(now + 100));
            assignment.expected_dropoff_time = Some(at(now + 700));
            assignment.delay_told_time = told.map(at);
        })
    };
    let near = Some(north(1000.0));
    assert_eq!(told(&late(300, None), near), None, "the promise holds to the second");
    assert_eq!(told(&late(301, None), near), Some((Type::Delayed, Some(401), Some(1001))));
    assert_eq!(told(&late(600, Some(301)), near), None);
    assert_eq!(told(&late(601, Some(301)), near), Some((Type::Delayed, Some(701), Some(1301))));
    let change = refresh(&late(601, Some(301)), &trip(None), near, &TRAVEL).expect("a delay");
    assert_eq!(change.assignment.expect("it has one").delay_told_time, Some(at(601)));
}
