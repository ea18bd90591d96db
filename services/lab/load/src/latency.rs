//! Distributions of durations, kept as HDR histograms: 3 significant digits from a microsecond to ten minutes.

use std::{sync::Mutex, time::Duration};

use hdrhistogram::Histogram;

use crate::report::Latency;

/// What is stored of a distribution.
const PERCENTILES: [f64; 10] = [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0];
const LONGEST_MICROSECONDS: u64 = 600_000_000;

/// Collects durations from any number of tasks.
#[derive(Debug)]
pub struct Recorder(Mutex<Histogram<u64>>);

impl Default for Recorder {
    fn default() -> Self {
        Self(Mutex::new(Histogram::new_with_bounds(1, LONGEST_MICROSECONDS, 3).expect("bounds that are valid")))
    }
}

impl Recorder {
    /// Counts one. Longer ones than ten minutes count as ten minutes.
    pub fn record(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.lock().expect("no holder panics").saturating_record(microseconds.max(1));
    }

    /// What was collected so far.
    pub fn latency(&self, name: &str) -> Latency {
        let histogram = self.0.lock().expect("no holder panics");
        let at = |percentile: f64| (percentile, histogram.value_at_percentile(percentile) as f64 / 1000.0);
        let percentiles = if histogram.is_empty() { Vec::new() } else { PERCENTILES.map(at).to_vec() };
        Latency { name: name.into(), count: histogram.len(), percentiles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let recorder = Recorder::default();
        (1..=1000).for_each(|milliseconds| recorder.record(Duration::from_millis(milliseconds)));
        let latency = recorder.latency("calls");
        assert_eq!(latency.count, 1000);
        let near = |percentile: f64, wanted: f64| {
            let found = latency.at(percentile).expect("a stored percentile");
            assert!((found - wanted).abs() <= wanted / 500.0, "{percentile}: {found}");
        };
        near(50.0, 500.0);
        near(99.0, 990.0);
        near(100.0, 1000.0);
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert!(Recorder::default().latency("calls").percentiles.is_empty());
    }
}
