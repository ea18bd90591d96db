//! What a valid trip is, by the limits of `trip.proto`.

use comanda_kit::errors::Violations;
use comanda_proto::{
    LatLng,
    v1::{Place, Trip, Workflow},
    views::offset_date_time,
};
use time::{Duration, OffsetDateTime};

/// How far ahead a pickup may lie.
const MOST_AHEAD: Duration = Duration::days(30);
const MOST_LOAD: i32 = 1_000;
const MOST_ADDRESS_CHARS: usize = 256;
const MOST_WORD_CHARS: usize = 32;

/// Notes what is wrong with the trip of a request. A workflow that asks for couriers needs one.
pub fn check(trip: Option<&Trip>, workflow: Option<&Workflow>, now: OffsetDateTime, violations: &mut Violations) {
    let Some(trip) = trip else {
        let is_needed = workflow.is_some_and(|workflow| workflow.dispatch.is_some());
        return violations.require(!is_needed, "trip", "must be there: this workflow looks for a courier");
    };
    check_place("trip.pickup", trip.pickup.as_ref(), violations);
    check_place("trip.dropoff", trip.dropoff.as_ref(), violations);
    check_pickup_time(trip, now, violations);
    violations.require((0..=MOST_LOAD).contains(&trip.load), "trip.load", "must be 0 to 1,000");
    check_word("trip.vehicle_kind", &trip.vehicle_kind, violations);
    check_word("trip.zone", &trip.zone, violations);
}

/// When an order with a valid trip is to start, in whole microseconds, as the database has it; `None` where at once. A time in the past
/// counts as none.
pub fn start_time(trip: &Trip, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let time = trip.pickup_time.as_ref().and_then(offset_date_time).filter(|time| *time > now)?;
    Some(time.truncate_to_microsecond())
}

fn check_place(field: &str, place: Option<&Place>, violations: &mut Violations) {
    let Some(place) = place else { return violations.require(false, field, "must be there") };
    check_position(field, place.position.as_ref(), violations);
    violations.text(format_args!("{field}.address"), &place.address, 0, MOST_ADDRESS_CHARS);
}

/// NaN and infinity lie in no range.
fn check_position(field: &str, position: Option<&LatLng>, violations: &mut Violations) {
    let Some(LatLng { latitude, longitude }) = position else {
        return violations.require(false, format_args!("{field}.position"), "must be there");
    };
    let is_latitude = (-90.0..=90.0).contains(latitude);
    violations.require(is_latitude, format_args!("{field}.position.latitude"), "must be -90 to 90");
    let is_longitude = (-180.0..=180.0).contains(longitude);
    violations.require(is_longitude, format_args!("{field}.position.longitude"), "must be -180 to 180");
}

fn check_pickup_time(trip: &Trip, now: OffsetDateTime, violations: &mut Violations) {
    let Some(pickup_time) = &trip.pickup_time else { return };
    let is_near = offset_date_time(pickup_time).is_some_and(|time| time - now <= MOST_AHEAD);
    violations.require(is_near, "trip.pickup_time", "must be a time at most 30 days ahead");
}

fn check_word(field: &str, word: &str, violations: &mut Violations) {
    let is_of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let is_word = word.len() <= MOST_WORD_CHARS && word.bytes().all(is_of_word);
    violations.require(is_word, field, "must be at most 32 of a-z, 0-9, - and _");
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::wrong_fields;
    use comanda_proto::{v1::WorkflowDispatch, views::timestamp};

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);

    fn place(latitude: f64, longitude: f64, address: &str) -> Option<Place> {
        Some(Place { position: Some(LatLng { latitude, longitude }), address: address.into() })
    }

    fn valid() -> Trip {
        let (pickup, dropoff) = (place(-33.45, -70.66, "Av. Italia 1234"), place(-33.42, -70.61, ""));
        Trip { pickup, dropoff, load: 2, vehicle_kind: "car".into(), zone: "north-1".into(), ..Trip::default() }
    }

    fn wrong(trip: Option<&Trip>, workflow: &Workflow) -> Vec<String> {
        let mut violations = Violations::default();
        check(trip, Some(workflow), NOW, &mut violations);
        violations.check().map_or_else(wrong_fields, |()| Vec::new())
    }

    fn wrong_of(change: impl Fn(&mut Trip)) -> Vec<String> {
        let mut trip = valid();
        change(&mut trip);
        wrong(Some(&trip), &Workflow::default())
    }

    #[test]
    fn a_trip_is_needed_exactly_where_the_workflow_asks_for_couriers() {
        let with_couriers = Workflow { dispatch: Some(WorkflowDispatch::default()), ..Workflow::default() };
        assert_eq!(wrong(None, &with_couriers), ["trip"]);
        assert!(wrong(None, &Workflow::default()).is_empty());
        assert!(wrong(Some(&valid()), &with_couriers).is_empty() && wrong_of(|_| {}).is_empty());
    }

    #[test]
    fn every_wrong_part_is_named_with_its_path() {
        let worst = Trip {
            pickup: place(90.1, f64::NAN, "a\nb"),
            dropoff: Some(Place::default()),
            pickup_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            load: -1,
            vehicle_kind: "Car".into(),
            zone: "ñ".into(),
        };
        let expected = [
            "trip.pickup.position.latitude",
            "trip.pickup.position.longitude",
            "trip.pickup.address",
            "trip.dropoff.position",
            "trip.pickup_time",
            "trip.load",
            "trip.vehicle_kind",
            "trip.zone",
        ];
        assert_eq!(wrong(Some(&worst), &Workflow::default()), expected);
        assert_eq!(wrong(Some(&Trip::default()), &Workflow::default()), ["trip.pickup", "trip.dropoff"]);
    }

    #[test]
    fn each_limit_holds_exactly() {
        for (latitude, longitude) in [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0)] {
            assert!(wrong_of(|trip| trip.pickup = place(latitude, longitude, "")).is_empty());
        }
        for latitude in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 90.000_000_1, -90.000_000_1] {
            assert_eq!(wrong_of(|trip| trip.dropoff = place(latitude, 0.0, "")), ["trip.dropoff.position.latitude"]);
        }
        for longitude in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 180.000_000_1, -180.000_000_1] {
            assert_eq!(wrong_of(|trip| trip.pickup = place(0.0, longitude, "")), ["trip.pickup.position.longitude"]);
        }
        let address = |chars: usize| wrong_of(|trip| trip.dropoff = place(0.0, 0.0, &"ñ".repeat(chars)));
        assert!(address(256).is_empty() && address(257) == ["trip.dropoff.address"]);
        let load = |load: i32| wrong_of(|trip| trip.load = load);
        assert!(load(0).is_empty() && load(1_000).is_empty() && load(1_001) == ["trip.load"]);
        let kind = |chars: usize| wrong_of(|trip| trip.vehicle_kind = "a".repeat(chars));
        assert!(kind(0).is_empty() && kind(32).is_empty() && kind(33) == ["trip.vehicle_kind"]);
        assert!(wrong_of(|trip| trip.zone = "az09-_".into()).is_empty());
    }

    #[test]
    fn a_pickup_is_at_most_thirty_days_ahead_and_one_in_the_past_is_at_once() {
        let at = |time: OffsetDateTime| Trip { pickup_time: Some(timestamp(time)), ..valid() };
        let is_wrong = |trip: &Trip| wrong(Some(trip), &Workflow::default()) == ["trip.pickup_time"];
        let last = NOW + MOST_AHEAD;
        assert!(!is_wrong(&at(last)) && is_wrong(&at(last + Duration::NANOSECOND)));
        assert_eq!(start_time(&at(last), NOW), Some(last));
        for past in [NOW, NOW - Duration::days(365), time::macros::datetime!(-9999-01-01 0:00 UTC)] {
            assert!(!is_wrong(&at(past)), "{past}");
            assert_eq!(start_time(&at(past), NOW), None, "{past}");
        }
        assert_eq!(start_time(&valid(), NOW), None);
        let no_nanos = prost_types::Timestamp { seconds: NOW.unix_timestamp(), nanos: -1 };
        assert!(is_wrong(&Trip { pickup_time: Some(no_nanos), ..valid() }));
    }
}
