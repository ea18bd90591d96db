//! Between which values the median of ratios lies.

use std::fmt;

use serde::Serialize;

use super::statistics::median_interval;

/// Of fewer values the bootstrap only repeats their range.
const FEWEST_FOR_BOOTSTRAP: usize = 5;

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It holds the median with 95 % confidence, by the percentile bootstrap.
    Bootstrap,
    /// The least and the greatest value, which says nothing of confidence.
    MinMax,
}

/// From a lowest to a highest value, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// How it was made.
    pub kind: Kind,
    /// The lowest value.
    pub low: f64,
    /// The highest value.
    pub high: f64,
}

impl Interval {
    /// Of the median of these values: by the bootstrap from five on, the range of fewer. None of fewer than two.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.len() >= FEWEST_FOR_BOOTSTRAP {
            let (low, high) = median_interval(values)?;
            return Some(Self { kind: Kind::Bootstrap, low, high });
        }
        let low = values.iter().copied().min_by(f64::total_cmp)?;
        let high = values.iter().copied().max_by(f64::total_cmp)?;
        (values.len() > 1).then_some(Self { kind: Kind::MinMax, low, high })
    }

    /// Whether a value lies in it.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3} to {:.3}", self.low, self.high)?;
        if self.kind == Kind::MinMax { write!(formatter, " (min-max)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_five_values_have_their_range_and_say_so() {
        let interval = Interval::of(&[1.2, 0.9, 1.0, 1.1]).expect("there are two values or more");
        assert_eq!(interval, Interval { kind: Kind::MinMax, low: 0.9, high: 1.2 });
        assert_eq!(interval.to_string(), "0.900 to 1.200 (min-max)");
    }

    #[test]
    fn five_values_have_a_bootstrap_interval() {
        let interval = Interval::of(&[1.2, 0.9, 1.0, 1.1, 1.05]).expect("there are two values or more");
        assert_eq!((interval.kind, interval.to_string()), (Kind::Bootstrap, "0.900 to 1.200".into()));
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!((Interval::of(&[1.0]), Interval::of(&[])), (None, None));
    }

    #[test]
    fn the_ends_belong_to_it() {
        let interval = Interval { kind: Kind::Bootstrap, low: 0.5, high: 1.0 };
        assert_eq!([0.49, 0.5, 1.0, 1.01].map(|value| interval.holds(value)), [false, true, true, false]);
    }
}
