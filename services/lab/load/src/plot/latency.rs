//! How long things took, by percentile.

use super::{
    axis::{Axis, Scale, nines},
    chart::{Chart, Line},
    colour::{FAINT, colour},
    distinct,
};
use crate::report::{Latency, Run};

/// How long things took, by percentile: a colour for each latency, a line for each run. None if nothing was timed.
pub fn latencies(runs: &[&Run]) -> Option<String> {
    let names = distinct(runs.iter().flat_map(|run| run.latencies.iter().map(|latency| latency.name.as_str())));
    let timed: Vec<(&Run, &Latency)> =
        runs.iter().flat_map(|run| run.latencies.iter().map(move |latency| (*run, latency))).collect();
    let milliseconds = timed.iter().flat_map(|(_, latency)| latency.percentiles.iter().map(|(_, value)| *value));
    let y = Axis::new(Scale::Log, "milliseconds", milliseconds);
    let lines: Vec<Line> = timed.iter().map(|(run, latency)| latency_line(run, latency, &names)).collect();
    let end = lines.iter().flat_map(|line| &line.positions).map(|(x, _)| *x).reduce(f64::max)?;
    let x = Axis::nines("percentile", end);
    Some(Chart { title: "Latency by percentile".into(), x, y, lines, bars: Vec::new() }.draw())
}

fn latency_line(run: &Run, latency: &Latency, names: &[&str]) -> Line {
    let index = names.iter().position(|name| *name == latency.name).unwrap_or_default();
    let (label, colour) = if run.is_valid() { (latency.name.as_str(), colour(index)) } else { ("void", FAINT) };
    Line { label: label.into(), colour, positions: latency_positions(latency), dots: false }
}

/// The longest of `count` is placed where one in `count` is longer. Percentiles from there on say no more.
fn latency_positions(latency: &Latency) -> Vec<(f64, f64)> {
    let end = (latency.count.max(1) as f64).log10();
    let inner = latency.percentiles.iter().filter(|(percentile, _)| nines(*percentile) < end);
    let last = latency.percentiles.last().filter(|(percentile, _)| *percentile >= 100.0);
    let placed = inner.map(|(at, value)| (nines(*at), *value)).chain(last.map(|(_, value)| (end, *value)));
    placed.filter_map(|(x, value)| Some((x, Scale::Log.position(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(count: u64) -> Latency {
        Latency { name: "get".into(), count, percentiles: vec![(90.0, 1.0), (99.0, 2.0), (99.99, 5.0), (100.0, 5.0)] }
    }

    #[test]
    fn the_longest_is_placed_by_how_many_there_were() {
        let positions = latency_positions(&latency(1000));
        let places: Vec<i64> = positions.iter().map(|(x, _)| (x * 1000.0).round() as i64).collect();
        assert_eq!(places, [1000, 2000, 3000]);
        assert!((positions[2].1 - 5_f64.log10()).abs() < 1e-9);
    }

    #[test]
    fn nothing_timed_is_no_plot() {
        assert_eq!(latencies(&[&Run::default()]), None);
    }
}
