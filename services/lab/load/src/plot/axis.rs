//! Where an axis begins and ends, and what is written along it. Positions on it are linear: the drawing code takes the logarithm.

use std::ops::Range;

use crate::page::number::number;

/// What is written on a scale of percentiles.
const PERCENTILES: [f64; 8] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999, 99.99999];

/// How values are placed along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// From zero on, in equal steps.
    #[default]
    Linear,
    /// In equal ratios. Values that are not above zero have no place.
    Log,
}

impl Scale {
    /// Where a value is placed, if it has a place.
    pub(super) fn position(self, value: f64) -> Option<f64> {
        let position = match self {
            Self::Linear => value,
            Self::Log => value.log10(),
        };
        position.is_finite().then_some(position)
    }
}

/// One side of a plot.
#[derive(Clone)]
pub(super) struct Axis {
    /// What is measured along it, with its unit.
    pub label: String,
    /// The positions of its ends.
    pub range: Range<f64>,
    /// (position, what is written there).
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis that has a place for all values.
    pub fn new(scale: Scale, label: &str, values: impl Iterator<Item = f64>) -> Self {
        let positions: Vec<f64> = values.filter_map(|value| scale.position(value)).collect();
        match scale {
            Scale::Linear => linear(label, &positions),
            Scale::Log => log(label, &positions),
        }
    }

    /// Percentiles by their number of nines, up to a position of [`nines`].
    pub fn nines(label: &str, end: f64) -> Self {
        let ticks = PERCENTILES.map(|percentile| (nines(percentile), format!("{percentile} %")));
        let range = 0.0..end.max(1.0) + 0.05;
        Self { label: label.into(), ticks: within(&range, ticks.to_vec()), range }
    }

    /// One place for each name, at 0, 1, 2 ...
    pub fn categories(label: &str, names: &[String]) -> Self {
        let ticks: Vec<_> = names.iter().enumerate().map(|(place, name)| (place as f64, name.clone())).collect();
        Self { label: label.into(), range: -0.5..names.len().max(1) as f64 - 0.5, ticks }
    }

    /// What is written at a position.
    pub fn tick(&self, position: f64) -> String {
        self.ticks.iter().find(|(at, _)| *at == position).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

/// Where a percentile is placed: 90 at 1, 99 at 2, 99.9 at 3.
pub(super) fn nines(percentile: f64) -> f64 {
    0.0 - (1.0 - percentile / 100.0).log10()
}

fn linear(label: &str, positions: &[f64]) -> Axis {
    let low = positions.iter().copied().fold(0.0, f64::min);
    let high = positions.iter().copied().fold(low, f64::max);
    let high = if high > low { high } else { low + 1.0 };
    let step = round_step((high - low) / 5.0);
    let range = low..high + (high - low) * 0.05;
    let first = (low / step).ceil() as i64;
    let last = (range.end / step).floor() as i64;
    let ticks = (first..=last).map(|count| count as f64 * step).map(|at| (at, tick_text(at))).collect();
    Axis { label: label.into(), range, ticks }
}

/// The next larger of 1, 2, 5, 10, 20, 50 ...
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * decade >= least * 0.999);
    factor.unwrap_or(10.0) * decade
}

fn log(label: &str, positions: &[f64]) -> Axis {
    let low = positions.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let high = positions.iter().copied().reduce(f64::max).unwrap_or(1.0);
    let range = low - 0.1..high + 0.1;
    let factors: &[f64] = if range.end - range.start > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = range.start.floor() as i32..=range.end.ceil() as i32;
    let values = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)));
    let ticks = values.map(|value| (value.log10(), tick_text(value))).collect();
    Axis { label: label.into(), ticks: within(&range, ticks), range }
}

/// Ticks are round, so the digits behind them say nothing.
fn tick_text(value: f64) -> String {
    let text = number(value);
    if text.contains('.') && !text.contains('e') { text.trim_end_matches('0').into() } else { text }
}

fn within(range: &Range<f64>, ticks: Vec<(f64, String)>) -> Vec<(f64, String)> {
    ticks.into_iter().filter(|(position, _)| range.contains(position)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn each_further_nine_of_a_percentile_is_one_further() {
        for (percentile, place) in [(0.0, 0.0), (90.0, 1.0), (99.0, 2.0), (99.9, 3.0), (99.99, 4.0)] {
            assert!((nines(percentile) - place).abs() < 1e-6, "{percentile} is at {}", nines(percentile));
        }
    }

    #[test]
    fn percentiles_are_written_as_far_as_the_axis_goes() {
        assert_eq!(texts(&Axis::nines("", 3.0)), ["50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_has_round_ticks() {
        let axis = Axis::new(Scale::Linear, "", [730.0, 940.0].into_iter());
        assert_eq!(texts(&axis), ["0", "200", "400", "600", "800"]);
        assert!(axis.range.start == 0.0 && axis.range.end > 940.0);
    }

    #[test]
    fn a_log_axis_has_decades_or_their_parts_when_it_is_short() {
        assert_eq!(
            texts(&Axis::new(Scale::Log, "", [1.0, 90.0].into_iter())),
            ["1", "2", "5", "10", "20", "50", "100"]
        );
        assert_eq!(texts(&Axis::new(Scale::Log, "", [0.1, 900.0].into_iter())), ["0.1", "1", "10", "100", "1,000"]);
    }

    #[test]
    fn zero_has_no_place_on_a_log_axis() {
        assert_eq!(Scale::Log.position(0.0), None);
        assert_eq!(texts(&Axis::new(Scale::Log, "", [0.0, 1.0].into_iter())), ["1"]);
    }

    #[test]
    fn an_axis_of_zeros_has_a_length() {
        assert_eq!(Axis::new(Scale::Linear, "", [0.0].into_iter()).range, 0.0..1.05);
    }
}
