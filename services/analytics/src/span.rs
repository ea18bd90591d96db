//! Spans of time in which is counted: hours, days and months of UTC. A longer time is put together from few of them.

use time::{Duration, OffsetDateTime, Time};

/// How long a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Span {
    /// An hour.
    Hour = 1,
    /// A day.
    Day = 2,
    /// A month.
    Month = 3,
}

impl Span {
    /// From the shortest on. Each begins where a shorter one begins.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The beginning of the span that a time lies in.
    pub fn start(self, time: OffsetDateTime) -> OffsetDateTime {
        let time = time.to_offset(time::UtcOffset::UTC);
        let hour = time.replace_minute(0).and_then(|time| time.replace_second(0)).and_then(|t| t.replace_nanosecond(0));
        let hour = hour.expect("zero is a minute, a second and a nanosecond");
        match self {
            Self::Hour => hour,
            Self::Day => hour.replace_time(Time::MIDNIGHT),
            Self::Month => hour.replace_time(Time::MIDNIGHT).replace_day(1).expect("every month has a first day"),
        }
    }

    /// The beginning of the next span; `start` is the beginning of one.
    fn next(self, start: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::Hour => start + Duration::HOUR,
            Self::Day => start + Duration::DAY,
            // No month has 32 days, and the 32nd day after the first is never in the month after the next.
            Self::Month => self.start(start + Duration::days(31)),
        }
    }
}

/// Spans of one length, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Their length.
    pub span: Span,
    /// Where the first begins.
    pub from: OffsetDateTime,
    /// Where the last ends.
    pub before: OffsetDateTime,
}

/// The fewest spans, none longer than `longest`, that make up the time from `from` to `before`, which are beginnings of hours.
pub fn cover(from: OffsetDateTime, before: OffsetDateTime, longest: Span) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut at = from;
    while at < before {
        let fits = |span: &Span| *span <= longest && span.start(at) == at && span.next(at) <= before;
        let span = Span::ALL.into_iter().rev().find(fits).unwrap_or(Span::Hour);
        let next = span.next(at);
        match ranges.last_mut().filter(|last| last.span == span) {
            Some(last) => last.before = next,
            None => ranges.push(Range { span, from: at, before: next }),
        }
        at = next;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_time_lies_in_an_hour_a_day_and_a_month() {
        let time = datetime!(2026-02-28 23:59:59.5 -03:00);
        assert_eq!(Span::Hour.start(time), datetime!(2026-03-01 02:00 UTC));
        assert_eq!(Span::Day.start(time), datetime!(2026-03-01 00:00 UTC));
        assert_eq!(Span::Month.start(datetime!(2024-02-29 12:30 UTC)), datetime!(2024-02-01 00:00 UTC));
    }

    #[test]
    fn a_year_is_made_of_months_and_of_days_and_hours_at_its_edges() {
        let ranges = cover(datetime!(2025-11-29 22:00 UTC), datetime!(2026-11-02 01:00 UTC), Span::Month);
        let spans: Vec<_> = ranges.iter().map(|range| range.span).collect();
        assert_eq!(spans, [Span::Hour, Span::Day, Span::Month, Span::Day, Span::Hour]);
        assert_eq!(
            (ranges[2].from, ranges[2].before),
            (datetime!(2025-12-01 00:00 UTC), datetime!(2026-11-01 00:00 UTC))
        );
    }

    proptest! {
        #[test]
        fn a_cover_has_every_hour_once(start in 400_000_i64..500_000, hours in 0_i64..20_000, longest in 0_usize..3) {
            let hour = |number: i64| OffsetDateTime::from_unix_timestamp(number * 3600).expect("a time");
            let (from, before) = (hour(start), hour(start + hours));
            let ranges = cover(from, before, Span::ALL[longest]);
            let mut at = from;
            for range in &ranges {
                prop_assert_eq!(range.from, at);
                prop_assert!(range.from < range.before && range.span <= Span::ALL[longest]);
                prop_assert_eq!(range.span.start(range.from), range.from);
                prop_assert_eq!(range.span.start(range.before), range.before);
                at = range.before;
            }
            prop_assert_eq!(at, before.max(from));
            prop_assert!(ranges.len() <= 5);
        }
    }
}
