//! The time that a report is about, and into what it is cut.

use time::{Duration, OffsetDateTime};

use crate::span::{Range, Span, cover};

/// The longest period.
pub const LONGEST: Duration = Duration::days(366);

/// Into what a period is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: one bucket.
    Whole,
    /// Hours of UTC.
    Hours,
    /// Days of UTC.
    Days,
}

impl Cut {
    /// As Postgres calls the bucket; `None` where there is one.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Hours => Some("hour"),
            Self::Days => Some("day"),
        }
    }

    /// The longest span that never crosses the edge of a bucket.
    fn longest(self) -> Span {
        match self {
            Self::Whole => Span::Month,
            Self::Hours => Span::Hour,
            Self::Days => Span::Day,
        }
    }
}

/// From an hour to an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The beginning.
    pub from: OffsetDateTime,
    /// The end, which does not belong to it.
    pub before: OffsetDateTime,
    /// Into what it is cut.
    pub cut: Cut,
}

impl Period {
    /// The spans that make it up.
    pub fn ranges(&self) -> Vec<Range> {
        cover(self.from, self.before, self.cut.longest())
    }

    /// The spans that make up all the time before it.
    pub fn ranges_before(&self) -> Vec<Range> {
        cover(OffsetDateTime::UNIX_EPOCH, self.from, Span::Month)
    }

    /// The same time in one bucket.
    pub fn whole(&self) -> Self {
        Self { cut: Cut::Whole, ..*self }
    }

    /// The beginning of each bucket.
    pub fn buckets(&self) -> Vec<OffsetDateTime> {
        let span = match self.cut {
            Cut::Whole => return vec![self.from],
            Cut::Hours => Span::Hour,
            Cut::Days => Span::Day,
        };
        let step = if span == Span::Hour { Duration::HOUR } else { Duration::DAY };
        std::iter::successors(Some(span.start(self.from)), |start| Some(*start + step))
            .take_while(|start| *start < self.before)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_period_is_cut_at_the_edges_of_hours_or_days() {
        let (from, before) = (datetime!(2026-11-01 22:00 UTC), datetime!(2026-11-03 01:00 UTC));
        let of = |cut| Period { from, before, cut };
        assert_eq!(of(Cut::Whole).buckets(), [from]);
        assert_eq!(of(Cut::Hours).buckets().len(), 27);
        let days = [1, 2, 3].map(|day| datetime!(2026-11-01 00:00 UTC) + Duration::days(day - 1));
        assert_eq!(of(Cut::Days).buckets(), days);
        assert_eq!(of(Cut::Days).ranges().len(), 3, "two hours, a day, an hour");
        assert!(of(Cut::Hours).ranges().iter().all(|range| range.span == Span::Hour));
    }
}
