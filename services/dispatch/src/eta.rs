//! When a courier is expected, while it moves: what is worth telling. Pure: no I/O and no clock.

use std::time::Duration;

use comanda_proto::events::AssignmentEventType as Type;
use time::OffsetDateTime;

use crate::{
    change::{By, Change},
    leader::trips::Trip,
    model::Case,
    place::Point,
    travel::Travel,
};

/// A change of an expected time that is worth telling is more than this.
const WORTH_TELLING: Duration = Duration::from_secs(60);
/// How often a broken promise is told of.
const DELAY_AGAIN: Duration = Duration::from_secs(5 * 60);

/// The times that are expected now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    pickup: Option<OffsetDateTime>,
    dropoff: Option<OffsetDateTime>,
}

/// What to write of an active assignment whose courier is at `at` (`None`: nobody knows), and to tell. `None`: nothing.
pub fn refresh(case: &Case, trip: &Trip, at: Option<Point>, travel: &dyn Travel) -> Option<Change> {
    let assignment = case.assignment.as_ref()?;
    let (now, expected) = (case.now, expect(case, trip, at, travel)?);
    let is_delayed = assignment.pickup_time.is_none()
        && now > assignment.promised_pickup_time
        && assignment.delay_told_time.is_none_or(|told| now - told >= DELAY_AGAIN);
    let has_changed = differs(assignment.expected_pickup_time, expected.pickup)
        || differs(assignment.expected_dropoff_time, expected.dropoff);
    let kind = match (is_delayed, has_changed) {
        (true, _) => Type::Delayed,
        (false, true) => Type::ExpectedTimeChanged,
        (false, false) => return None,
    };
    let mut change = Change::of(case);
    if let Some(assignment) = &mut change.assignment {
        assignment.expected_pickup_time = expected.pickup;
        assignment.expected_dropoff_time = expected.dropoff;
        assignment.delay_told_time = if is_delayed { Some(now) } else { assignment.delay_told_time };
    }
    Some(change.tell(kind, By::system(""), ""))
}

/// Whether people should know of a new expected time. That a pickup is not expected any more they know from the pickup.
fn differs(told: Option<OffsetDateTime>, expected: Option<OffsetDateTime>) -> bool {
    match (told, expected) {
        (Some(told), Some(expected)) => (told - expected).abs() > WORTH_TELLING,
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

/// Without a position the last expectation holds until it has passed.
fn expect(case: &Case, trip: &Trip, at: Option<Point>, travel: &dyn Travel) -> Option<Expected> {
    let (assignment, now) = (case.assignment.as_ref()?, case.now);
    let after = |from: OffsetDateTime, seconds: u32| from + Duration::from_secs(seconds.into());
    let seconds = |from: Point, to: Point| travel.seconds(from, to, now.hour());
    if assignment.pickup_time.is_some() {
        let dropoff = match at {
            Some(at) => Some(after(now, seconds(at, trip.dropoff))),
            None => assignment.expected_dropoff_time.map(|told| told.max(now)),
        };
        return Some(Expected { pickup: assignment.expected_pickup_time, dropoff });
    }
    let arrival = match (assignment.arrive_time, at) {
        (Some(_), _) => now,
        (None, Some(at)) => after(now, seconds(at, trip.pickup)),
        (None, None) => assignment.expected_pickup_time.unwrap_or(assignment.promised_pickup_time).max(now),
    };
    let pickup = trip.row.start_time.map_or(arrival, |start| start.max(arrival));
    Some(Expected { pickup: Some(pickup), dropoff: Some(after(pickup, seconds(trip.pickup, trip.dropoff))) })
}

#[cfg(test)]
mod tests;
