//! Numbers in the making.

use std::collections::BTreeMap;

/// Counts and sums, by the name of the API's field.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub values: BTreeMap<&'static str, i64>,
    /// What means and quantiles are made of, in microseconds.
    durations_us: Vec<i64>,
}

impl Sums {
    pub fn add(&mut self, name: &'static str, by: i64) {
        *self.values.entry(name).or_default() += by;
    }

    /// One more where that is so.
    pub fn count(&mut self, name: &'static str, holds: bool) {
        self.add(name, i64::from(holds));
    }

    pub fn took(&mut self, duration_us: i64) {
        self.durations_us.push(duration_us.max(0));
    }

    /// Mean and quantiles of what took its time, under these names.
    pub fn finish(mut self, mean: &'static str, quantiles: &[(&'static str, usize)]) -> BTreeMap<&'static str, i64> {
        self.durations_us.sort_unstable();
        let count = self.durations_us.len();
        if count > 0 {
            self.values.insert(mean, self.durations_us.iter().sum::<i64>() / count as i64);
            for (name, percent) in quantiles {
                let rank = (count * percent).div_ceil(100).clamp(1, count);
                self.values.insert(name, self.durations_us[rank - 1]);
            }
        }
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut sums = Sums::default();
        (1..=10).rev().for_each(|value| sums.took(value));
        let values = sums.finish("mean", &[("p50", 50), ("p90", 90), ("p99", 99)]);
        assert_eq!(values, BTreeMap::from([("mean", 5), ("p50", 5), ("p90", 9), ("p99", 10)]));
        assert_eq!(Sums::default().finish("mean", &[("p50", 50)]), BTreeMap::new());
    }
}
