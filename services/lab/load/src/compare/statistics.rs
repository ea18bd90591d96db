//! The little statistics that a comparison needs.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// How often [`median_interval`] draws.
const RESAMPLES: usize = 10_000;
/// Always the same, so that the same reports give the same intervals.
const SEED: u64 = 1;

/// The middle value, or the mean of the two middle ones. None of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let above = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(above) } else { Some(f64::midpoint(sorted[sorted.len() / 2 - 1], above)) }
}

/// Between which values the median lies with 95 % confidence, by the percentile bootstrap. None of nothing.
pub fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let mut medians = resampled_medians(values);
    medians.sort_by(f64::total_cmp);
    Some((medians[RESAMPLES * 25 / 1000], medians[RESAMPLES * 975 / 1000 - 1]))
}

fn resampled_medians(values: &[f64]) -> Vec<f64> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    (0..RESAMPLES).filter_map(|_| median(&resample(values, &mut random))).collect()
}

/// As many values as there are, drawn with replacement.
fn resample(values: &[f64], random: &mut Xoshiro256PlusPlus) -> Vec<f64> {
    values.iter().map(|_| values[random.random_range(0..values.len())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middle_values() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_interval_of_few_values_is_their_range() {
        assert_eq!(median_interval(&[1.1, 0.9, 1.0]), Some((0.9, 1.1)));
    }

    #[test]
    fn the_interval_of_many_values_leaves_the_tails_out() {
        let values: Vec<f64> = (1..=101).map(f64::from).collect();
        let (low, high) = median_interval(&values).expect("there are more than two values");
        // The order statistics of a binomial distribution: 51 +- 1.96 * sqrt(101) / 2.
        assert!((low - 41.0).abs() <= 2.0 && (high - 61.0).abs() <= 2.0, "{low} to {high}");
    }

    #[test]
    fn nothing_has_no_interval() {
        assert_eq!(median_interval(&[]), None);
    }

    #[test]
    fn the_resamples_are_the_same_every_time() {
        let values = [1.0, 1.2, 0.8, 1.1, 0.95, 1.3, 1.02];
        assert_eq!(resampled_medians(&values), resampled_medians(&values));
    }
}
