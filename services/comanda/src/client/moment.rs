//! A moment as a person writes it.

use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A time with an offset from UTC (RFC 3339). Without one it would be a guess which moment is meant.
pub fn parse_moment(text: &str) -> Result<Timestamp, String> {
    let moment = OffsetDateTime::parse(&text.to_uppercase(), &Rfc3339).map_err(|_| {
        format!(
            "{text:?} is no time with an offset: write it in UTC, as in 2026-11-01T03:00:00Z, or with its offset, as in \
             2026-11-01T00:00:00-03:00"
        )
    })?;
    // The nanoseconds of a second always fit.
    Ok(Timestamp { seconds: moment.unix_timestamp(), nanos: moment.nanosecond().cast_signed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_an_offset() {
        let midnight = Timestamp { seconds: 1_793_502_000, nanos: 0 };
        for text in
            ["2026-11-01T03:00:00Z", "2026-11-01t03:00:00z", "2026-11-01T00:00:00-03:00", "2026-11-01T08:30:00+05:30"]
        {
            assert_eq!(parse_moment(text), Ok(midnight), "{text}");
        }
        let fine = parse_moment("1969-12-31T23:59:59.5Z");
        assert_eq!(fine, Ok(Timestamp { seconds: -1, nanos: 500_000_000 }));
    }

    #[test]
    fn a_moment_without_an_offset_is_refused_with_both_right_forms() {
        for text in ["2026-11-01T00:00:00", "2026-11-01", "2026-11-01 00:00", "yesterday", "", "2026-02-30T00:00:00Z"] {
            let error = parse_moment(text).expect_err(text);
            assert!(error.contains("T03:00:00Z") && error.contains("T00:00:00-03:00"), "{error}");
        }
    }
}
