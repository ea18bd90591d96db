//! A length of time as a person writes it.

use std::time::Duration;

/// More would leave the times that Postgres knows, sooner or later.
const MOST_DAYS: u64 = 36_500;

/// A number and a unit: s, m, h or d.
pub fn parse_period(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time: write a number and one of s, m, h, d, as in 90d");
    let (number, seconds) = [('s', 1), ('m', 60), ('h', 3600), ('d', 24 * 3600)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let period = number.checked_mul(seconds).filter(|period| *period <= MOST_DAYS * 24 * 3600);
    period.map(Duration::from_secs).ok_or_else(|| format!("{text:?} is more than {MOST_DAYS} days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        for (text, seconds) in [("90d", 7_776_000), ("24h", 86_400), ("5m", 300), ("0s", 0)] {
            assert_eq!(parse_period(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "d", "90", "-1d", "1.5h", "1w", "99999999d", "99999999999999999999d"] {
            assert!(parse_period(wrong).is_err(), "{wrong}");
        }
    }
}
