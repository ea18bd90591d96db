//! What a stream says of a courier, and when it may say more. Pure.

use std::time::{Duration, SystemTime};

use comanda_proto::{
    v1::CourierUpdate,
    views::{CourierRow, timestamp},
};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::place::Place;

/// The courier as it is shown now.
pub fn update(row: &CourierRow, place: Option<Place>, now: SystemTime) -> CourierUpdate {
    let (position, position_time) = place.map(|place| (place.position, place.time)).unzip();
    CourierUpdate {
        attempt: row.attempt,
        name: row.name.clone(),
        vehicle: row.vehicle.clone(),
        plate: row.plate.clone(),
        position,
        position_time,
        promised_pickup_time: Some(timestamp(row.promised_pickup_time)),
        expected_pickup_time: row.expected_pickup_time.filter(|_| row.pickup_time.is_none()).map(timestamp),
        expected_dropoff_time: row.expected_dropoff_time.map(timestamp),
        delay_duration: delay(row, now.into()),
    }
}

/// By how much the promise is broken, in whole minutes, so that a second more is no news; rounded up, so that it is never none.
fn delay(row: &CourierRow, now: OffsetDateTime) -> Option<prost_types::Duration> {
    let late = row.pickup_time.unwrap_or(now) - row.promised_pickup_time;
    let seconds = late.whole_seconds() + i64::from(late.subsec_nanoseconds() > 0);
    let minutes = seconds.max(0).unsigned_abs().div_ceil(60).cast_signed();
    (minutes > 0).then_some(prost_types::Duration { seconds: 60 * minutes, nanos: 0 })
}

/// What a stream has told last, and when.
#[derive(Clone, Debug)]
pub struct Told {
    /// That.
    pub update: CourierUpdate,
    /// Then.
    pub at: Instant,
}

/// When the next update is due after the last one; `None` where it says nothing new. That another courier comes, or none any more, is told at
/// once; everything else `interval` after the last update at the earliest.
pub fn due(told: Option<&Told>, next: &CourierUpdate, now: Instant, interval: Duration) -> Option<Instant> {
    let Some(told) = told else { return (next.attempt != 0).then_some(now) };
    // That a courier still stands where it stood is no news.
    let same = CourierUpdate { position_time: next.position_time, ..told.update.clone() };
    match told.update.attempt == next.attempt {
        false => Some(now),
        true => (same != *next).then_some(told.at + interval),
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::LatLng;
    use prost_types::Timestamp;
    use uuid::Uuid;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);
    const PROMISED: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn row() -> CourierRow {
        CourierRow {
            order_id: Uuid::from_u128(9),
            tenant: "default".into(),
            attempt: 2,
            courier_id: "luz".into(),
            name: "Luz".into(),
            vehicle: "white Corolla".into(),
            plate: "ABCD-12".into(),
            promised_pickup_time: PROMISED,
            expected_pickup_time: Some(PROMISED),
            expected_dropoff_time: None,
            confirm_time: None,
            pickup_time: None,
        }
    }

    fn place(latitude: f64, seconds: i64) -> Option<Place> {
        Some(Place { position: LatLng { latitude, longitude: 0.0 }, time: Timestamp { seconds, nanos: 0 } })
    }

    fn shown(place: Option<Place>) -> CourierUpdate {
        update(&row(), place, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn an_update_shows_the_courier_where_it_is_and_when_it_is_expected() {
        let update = shown(place(1.5, 3));
        assert_eq!(
            (update.attempt, &*update.name, &*update.vehicle, &*update.plate),
            (2, "Luz", "white Corolla", "ABCD-12")
        );
        assert_eq!(update.position.map(|position| position.latitude), Some(1.5));
        assert_eq!(update.position_time.map(|time| time.seconds), Some(3));
        assert_eq!(update.expected_pickup_time, Some(timestamp(PROMISED)));
        assert_eq!(update.delay_duration, None);
        let picked_up = CourierRow { pickup_time: Some(PROMISED), ..row() };
        assert_eq!(super::update(&picked_up, None, SystemTime::now()).expected_pickup_time, None);
    }

    #[test]
    fn a_delay_is_told_in_minutes_once_the_promise_is_broken_until_the_pickup() {
        let after = |seconds| delay(&row(), PROMISED + Duration::from_millis(seconds)).map(|delay| delay.seconds);
        assert_eq!([0, 1, 60_000, 60_001].map(after), [None, Some(60), Some(60), Some(120)]);
        assert_eq!(delay(&row(), PROMISED - Duration::from_secs(90)), None);
        let picked_up = CourierRow { pickup_time: Some(PROMISED + Duration::from_secs(61)), ..row() };
        assert_eq!(delay(&picked_up, PROMISED + Duration::from_secs(3600)).map(|delay| delay.seconds), Some(120));
    }

    #[test]
    fn movement_and_new_times_wait_for_their_turn_and_standing_still_is_no_news() {
        let at = Instant::now();
        let told = Told { update: shown(place(1.0, 3)), at };
        let due = |next: &CourierUpdate| due(Some(&told), next, at, INTERVAL);
        assert_eq!(due(&shown(place(1.0, 3))), None);
        assert_eq!(due(&shown(place(1.0, 9))), None);
        assert_eq!(due(&shown(place(1.1, 9))), Some(at + INTERVAL));
        let later = CourierRow { expected_pickup_time: Some(PROMISED + Duration::from_secs(61)), ..row() };
        assert_eq!(due(&update(&later, place(1.0, 3), SystemTime::UNIX_EPOCH)), Some(at + INTERVAL));
    }

    #[test]
    fn another_courier_is_told_at_once_and_none_only_after_one() {
        let now = Instant::now();
        assert_eq!(due(None, &shown(None), now, INTERVAL), Some(now));
        assert_eq!(due(None, &CourierUpdate::default(), now, INTERVAL), None);
        let told = Told { update: shown(None), at: now };
        let other = CourierUpdate { attempt: 3, ..shown(None) };
        assert_eq!(due(Some(&told), &other, now, INTERVAL), Some(now));
        assert_eq!(due(Some(&told), &CourierUpdate::default(), now, INTERVAL), Some(now));
        let emptied = Told { update: CourierUpdate::default(), at: now };
        assert_eq!(due(Some(&emptied), &CourierUpdate::default(), now, INTERVAL), None);
    }
}
