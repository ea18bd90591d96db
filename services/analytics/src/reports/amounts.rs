//! Sums that are larger than what one order may have.

use comanda_kit::postgres::StoreError;
use comanda_proto::Money;
use prost_types::Duration;

const US_PER_SECOND: i128 = 1_000_000;
const NS_PER_US: i128 = 1000;
const NANOS: i128 = 1_000_000_000;

/// A sum as the database writes it.
pub fn sum(text: &str) -> Result<i128, StoreError> {
    text.parse().map_err(|_| StoreError::Unreadable(format!("{text:?} is no sum")))
}

/// A sum of microseconds.
pub fn duration(microseconds: i128) -> Duration {
    let seconds = i64::try_from(microseconds / US_PER_SECOND).unwrap_or(i64::MAX);
    let nanos = i32::try_from(microseconds % US_PER_SECOND * NS_PER_US).expect("less than a second");
    Duration { seconds, nanos }
}

/// The mean of so many that last so many microseconds together, rounded down; zero where there are none.
pub fn mean(microseconds: i128, count: i64) -> Duration {
    duration(microseconds.checked_div(i128::from(count)).unwrap_or(0))
}

/// A duration of the `time` crate.
pub fn of(duration: time::Duration) -> Duration {
    Duration { seconds: duration.whole_seconds(), nanos: duration.subsec_nanoseconds() }
}

/// A sum of money; the most that the message can hold where it is more.
pub fn money(currency: &str, units: i128, nanos: i128) -> Money {
    let all = units * NANOS + nanos;
    let units = i64::try_from(all / NANOS).unwrap_or(if all < 0 { i64::MIN } else { i64::MAX });
    let nanos = i32::try_from(all % NANOS).expect("less than a unit");
    Money { currency_code: currency.into(), units, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_carry_over_into_units() {
        assert_eq!(
            money("UYU", 10, 2_500_000_000),
            Money { currency_code: "UYU".into(), units: 12, nanos: 500_000_000 }
        );
        assert_eq!(money("UYU", i128::from(i64::MAX) * 3, 0).units, i64::MAX);
        assert_eq!(duration(90_500_001), Duration { seconds: 90, nanos: 500_001_000 });
        assert_eq!((mean(7, 2), mean(7, 0)), (duration(3), Duration::default()));
    }
}
