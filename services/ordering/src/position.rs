//! A position in a list of orders, and the microseconds in which Postgres keeps times.

use comanda_proto::views::offset_date_time;
use prost::Message;
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::Position;

/// The times that a protobuf Timestamp may hold, in seconds: the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A position as page tokens hold it.
#[derive(Clone, PartialEq, Message)]
pub struct Cursor {
    /// The order's create_time, in microseconds since 1970.
    #[prost(sint64, tag = "1")]
    micros: i64,
    /// The order's id, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    order_id: Vec<u8>,
}

impl Cursor {
    /// Stands at a position.
    pub fn at((create_time, order_id): Position) -> Self {
        let micros = create_time.unix_timestamp_nanos().div_euclid(1000);
        Self { micros: micros as i64, order_id: order_id.as_bytes().to_vec() }
    }

    /// Where it stands; `None` for one that this service did not make.
    pub fn position(&self) -> Option<Position> {
        Some((of_micros(self.micros)?, Uuid::from_slice(&self.order_id).ok()?))
    }
}

/// The first microsecond at or after a time. Postgres keeps times in microseconds, so an order is created at or after `time` exactly if it is
/// created at or after that microsecond, and before it exactly if before. `None` for what is no valid Timestamp.
pub fn first_microsecond(time: &Timestamp) -> Option<OffsetDateTime> {
    SECONDS.contains(&time.seconds).then_some(())?;
    let valid = offset_date_time(time)?;
    let nanos = valid.unix_timestamp_nanos();
    // The last microsecond of the year 9999 has none after it.
    of_micros(((nanos + 999).div_euclid(1000)) as i64).or_else(|| of_micros(nanos.div_euclid(1000) as i64))
}

fn of_micros(micros: i64) -> Option<OffsetDateTime> {
    SECONDS.contains(&micros.div_euclid(1_000_000)).then_some(())?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn nanos(time: &Timestamp) -> i128 {
        i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
    }

    #[test]
    fn a_position_survives_its_cursor_and_what_is_no_position_is_none() {
        for create_time in [datetime!(2026-11-22 10:00:00.123456 UTC), datetime!(1969-12-31 23:59:59.999999 UTC)] {
            let position = (create_time, Uuid::now_v7());
            assert_eq!(Cursor::at(position).position(), Some(position));
        }
        for (micros, bytes) in [(i64::MAX, 16), (i64::MIN, 16), (0, 15), (0, 17), (0, 0)] {
            assert_eq!(Cursor { micros, order_id: vec![0; bytes] }.position(), None, "{micros} {bytes}");
        }
    }

    #[test]
    fn the_ends_of_time_are_bounds_and_what_lies_beyond_is_none() {
        for (seconds, nanos, is_valid) in [
            (*SECONDS.start(), 0, true),
            (*SECONDS.end(), 999_999_999, true),
            (*SECONDS.end() + 1, 0, false),
            (*SECONDS.start() - 1, 0, false),
            (i64::MAX, 0, false),
            (0, -1, false),
            (0, 1_000_000_000, false),
        ] {
            assert_eq!(first_microsecond(&Timestamp { seconds, nanos }).is_some(), is_valid, "{seconds} {nanos}");
        }
    }

    proptest! {
        #[test]
        fn a_bound_finer_than_a_microsecond_parts_orders_as_the_bound_itself_would(
            seconds in -60_000_000_000_i64..200_000_000_000, fraction in 0..1_000_000_000, micros in -3..4_i128
        ) {
            let bound = Timestamp { seconds, nanos: fraction };
            let rounded = first_microsecond(&bound).expect("a valid time").unix_timestamp_nanos();
            let created = (nanos(&bound).div_euclid(1000) + micros) * 1000;
            prop_assert_eq!(created >= nanos(&bound), created >= rounded);
            prop_assert_eq!(created < nanos(&bound), created < rounded);
        }
    }
}
