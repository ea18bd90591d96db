//! How long things took: a histogram that is stored with each sum, and merged when a report is made.

use std::io::Cursor;

use comanda_kit::postgres::StoreError;
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2Serializer},
};
use time::Duration;

/// Significant decimal digits: a quantile is within 1 % of the exact one.
const DIGITS: u8 = 2;
/// What takes longer counts as this long, 30 days, in the quantiles. Sums and means are exact all the same.
const LONGEST_MS: u64 = 30 * 24 * 60 * 60 * 1000;
const US_PER_MS: i64 = 1000;

/// A histogram of durations, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).expect("two digits are allowed"))
    }
}

impl Durations {
    /// Counts a duration in microseconds.
    pub fn record(&mut self, microseconds: i64) {
        let milliseconds = u64::try_from(microseconds / US_PER_MS).unwrap_or(0).min(LONGEST_MS);
        self.0.record(milliseconds).expect("the histogram grows with what it counts");
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the histogram grows with what it counts");
    }

    /// The duration that so many of 100 do not exceed; zero where nothing was counted.
    pub fn percentile(&self, percent: f64) -> Duration {
        let milliseconds = self.0.value_at_percentile(percent).min(self.0.max());
        Duration::milliseconds(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).expect("a vector takes everything");
        bytes
    }
}

/// Reads and merges stored histograms.
#[derive(Default)]
pub struct Merger(Deserializer);

impl Merger {
    /// A stored one, which can count on.
    pub fn read(&mut self, stored: &[u8]) -> Result<Durations, StoreError> {
        let read = self.0.deserialize(&mut Cursor::new(stored));
        let mut read: Histogram<u64> = read.map_err(|error| StoreError::Unreadable(format!("a histogram: {error}")))?;
        read.auto(true);
        Ok(Durations(read))
    }

    /// Counts what a stored one has counted.
    pub fn merge(&mut self, into: &mut Durations, stored: &[u8]) -> Result<(), StoreError> {
        into.merge(&self.read(stored)?);
        Ok(())
    }

    /// Several stored ones as one.
    pub fn merged<'b>(&mut self, stored: impl IntoIterator<Item = &'b Vec<u8>>) -> Result<Durations, StoreError> {
        let mut all = Durations::default();
        stored.into_iter().try_for_each(|bytes| self.merge(&mut all, bytes))?;
        Ok(all)
    }
}

impl std::fmt::Debug for Merger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Merger")
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn of(milliseconds: &[i64]) -> Durations {
        let mut durations = Durations::default();
        milliseconds.iter().for_each(|ms| durations.record(ms * US_PER_MS));
        durations
    }

    proptest! {
        #[test]
        fn stored_parts_merge_to_what_one_would_have_counted(parts in vec(vec(0_i64..3_000_000_000, 0..30), 0..6)) {
            let stored: Vec<_> = parts.iter().map(|part| of(part).encode()).collect();
            let merged = Merger::default().merged(&stored).expect("readable");
            let whole = of(&parts.concat());
            for percent in [0.0, 50.0, 90.0, 99.0, 100.0] {
                prop_assert_eq!(merged.percentile(percent), whole.percentile(percent));
            }
        }

        #[test]
        fn a_percentile_is_within_one_percent(mut all in vec(0_i64..2_000_000_000, 1..200)) {
            let durations = of(&all);
            all.sort_unstable();
            for percent in [50_usize, 90, 99] {
                let exact = all[(all.len() * percent).div_ceil(100) - 1] as f64;
                let told = durations.percentile(percent as f64).whole_milliseconds() as f64;
                prop_assert!((told - exact).abs() <= exact * 0.01 + 1.0, "{told} is not {exact}");
            }
        }
    }

    #[test]
    fn what_is_too_long_or_negative_counts_at_the_edge() {
        let durations = of(&[-5, 0, LONGEST_MS as i64 * 3]);
        assert_eq!(durations.percentile(50.0), Duration::ZERO);
        let longest = durations.percentile(100.0).whole_days();
        assert!((30..=31).contains(&longest), "{longest}");
    }

    #[test]
    fn a_stored_one_counts_on() {
        let mut durations = Merger::default().read(&of(&[1, 2]).encode()).expect("readable");
        durations.record(LONGEST_MS as i64 * US_PER_MS);
        assert_eq!(durations, of(&[1, 2, LONGEST_MS as i64]));
    }

    #[test]
    fn bytes_that_are_no_histogram_are_refused() {
        assert!(Merger::default().merged(&[b"nonsense".to_vec()]).is_err());
    }
}
