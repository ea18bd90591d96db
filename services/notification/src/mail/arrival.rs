//! What a mail says of the courier who comes: pure.

use std::time::SystemTime;

use comanda_proto::views::CourierRow;
use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

use super::{locale::Locale, names::clean, templates::CourierFacts};

/// A pickup that is further away is told by the clock alone.
const MAX_MINUTES: i64 = 60;

/// The courier of an order as its mail shows it, at the moment at which the mail is written. What has passed is left out.
pub fn courier(row: &CourierRow, now: SystemTime, zone: &TimeZone, locale: Locale) -> CourierFacts {
    let pickup = row.pickup_time.is_none().then(|| Timestamp::new(row.promised_pickup_time.unix_timestamp(), 0).ok());
    let now = Timestamp::try_from(now).unwrap_or_default();
    let pickup = pickup.flatten().filter(|pickup| *pickup > now);
    CourierFacts {
        name: clean(&row.name),
        vehicle: clean(&row.vehicle),
        plate: clean(&row.plate),
        pickup_clock: pickup.map_or_else(String::new, |at| clock(at, now, zone, locale)),
        pickup_minutes: pickup.and_then(|at| minutes(at, now)),
    }
}

/// What a clock shows in the zone, with the zone, and with the date where it is not today's.
fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone, locale: Locale) -> String {
    let (at, now) = (at.to_zoned_datetime(zone.clone()), now.to_zoned_datetime(zone.clone()));
    let date = if at.date() == now.date() { String::new() } else { at.strftime("%Y-%m-%d ").to_string() };
    let time = match locale {
        Locale::Es => at.strftime("%H:%M"),
        Locale::En => at.strftime("%-I:%M %p"),
    };
    format!("{date}{time} {}", zone_name(&at))
}

/// The offset from UTC: abbreviations of zones are known to few, and some stand for several.
fn zone_name(at: &ZonedDateTime) -> String {
    let minutes = at.offset().seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    match (minutes.abs() / 60, minutes.abs() % 60) {
        (0, 0) => "UTC".into(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

fn minutes(at: Timestamp, now: Timestamp) -> Option<i64> {
    let minutes = (at.as_second() - now.as_second() + 30) / 60;
    (2..=MAX_MINUTES).contains(&minutes).then_some(minutes)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    /// Thursday 2026-11-26, 22:35:00 UTC.
    pub const NOW_SECS: i64 = 1_795_732_500;

    pub fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECS.unsigned_abs())
    }

    /// A courier whose pickup is promised so many seconds from now.
    pub fn row(pickup_in: i64) -> CourierRow {
        CourierRow {
            order_id: Uuid::from_u128(9),
            tenant: "default".into(),
            attempt: 1,
            courier_id: "luz".into(),
            name: "Luz".into(),
            vehicle: "Corolla blanco".into(),
            plate: "ABCD-12".into(),
            promised_pickup_time: OffsetDateTime::from_unix_timestamp(NOW_SECS + pickup_in).expect("a time"),
            expected_pickup_time: None,
            expected_dropoff_time: None,
            confirm_time: None,
            pickup_time: None,
        }
    }

    fn told(pickup_in: i64, zone: &str, locale: Locale) -> (String, Option<i64>) {
        let facts = courier(&row(pickup_in), now(), &TimeZone::get(zone).expect("a zone"), locale);
        (facts.pickup_clock, facts.pickup_minutes)
    }

    #[test]
    fn the_pickup_is_told_by_the_clock_of_the_zone_in_the_language_of_the_mail() {
        for (zone, locale, clock) in [
            ("UTC", Locale::Es, "22:42 UTC"),
            ("America/Santiago", Locale::Es, "19:42 UTC-3"),
            ("America/Santiago", Locale::En, "7:42 PM UTC-3"),
            ("Asia/Kolkata", Locale::En, "4:12 AM UTC+5:30"),
            ("Europe/Madrid", Locale::Es, "23:42 UTC+1"),
        ] {
            assert_eq!(told(420, zone, locale), (clock.into(), Some(7)), "{zone}");
        }
    }

    #[test]
    fn a_pickup_of_another_day_is_told_with_its_date() {
        assert_eq!(told(86_400, "UTC", Locale::En), ("2026-11-27 10:35 PM UTC".into(), None));
        assert_eq!(told(7200, "UTC", Locale::Es), ("2026-11-27 00:35 UTC".into(), None));
    }

    #[test]
    fn minutes_are_told_only_for_the_next_hour_and_nothing_that_has_passed() {
        for (pickup_in, minutes) in [(89, None), (90, Some(2)), (3600, Some(60)), (3631, None)] {
            assert_eq!(told(pickup_in, "UTC", Locale::Es).1, minutes, "{pickup_in}");
        }
        for pickup_in in [0, -1, -86_400] {
            assert_eq!(told(pickup_in, "UTC", Locale::Es), (String::new(), None));
        }
        let picked_up = CourierRow { pickup_time: Some(OffsetDateTime::UNIX_EPOCH), ..row(420) };
        assert_eq!(courier(&picked_up, now(), &TimeZone::UTC, Locale::Es).pickup_clock, "");
    }

    proptest! {
        #[test]
        fn a_time_is_told_exactly_while_it_has_not_passed(pickup_in in -200_000_i64..200_000, zone in "UTC|America/Santiago|Asia/Kathmandu") {
            let (clock, minutes) = told(pickup_in, &zone, Locale::En);
            prop_assert_eq!(clock.is_empty(), pickup_in <= 0);
            prop_assert!(clock.is_empty() || clock.contains(" UTC"));
            prop_assert!(minutes.is_none_or(|minutes| (minutes * 60 - pickup_in).abs() <= 30));
        }
    }
}
