//! Durations in microseconds, as precise as the database's times are.

use time::{Duration, OffsetDateTime};

/// From one time to another, at least 0: clocks may have been set back.
pub fn microseconds(from: OffsetDateTime, to: OffsetDateTime) -> i64 {
    in_microseconds(to - from)
}

/// A duration, at least 0.
pub fn in_microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.whole_microseconds().max(0)).unwrap_or(i64::MAX)
}
