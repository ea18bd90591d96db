//! What was sampled over time.

use super::{
    axis::{Axis, Scale},
    chart::{Chart, Line},
    colour::{FAINT, colour},
    distinct,
};
use crate::report::Run;

/// What was sampled over time: a plot for each name, a line for each run.
pub fn series(runs: &[&Run]) -> Vec<String> {
    let all = runs.iter().flat_map(|run| &run.series);
    let kinds = distinct(all.map(|series| (series.name.as_str(), series.unit.as_str())));
    kinds.into_iter().map(|(name, unit)| one_series(runs, name, unit)).collect()
}

fn one_series(runs: &[&Run], name: &str, unit: &str) -> String {
    let lines: Vec<Line> =
        runs.iter().enumerate().flat_map(|(index, run)| series_lines(index, run, name, unit)).collect();
    let points = || lines.iter().flat_map(|line| line.positions.iter().copied());
    let x = Axis::new(Scale::Linear, "seconds since the beginning", points().map(|(x, _)| x));
    let y = Axis::new(Scale::Linear, if unit.is_empty() { "count" } else { unit }, points().map(|(_, y)| y));
    Chart { title: name.into(), x, y, lines, bars: Vec::new() }.draw()
}

fn series_lines(index: usize, run: &Run, name: &str, unit: &str) -> Vec<Line> {
    let (label, colour) = match run.is_valid() {
        true => (format!("repeat {}", run.repeat), colour(index)),
        false => (format!("repeat {} (void)", run.repeat), FAINT),
    };
    let own = run.series.iter().filter(|series| series.name == name && series.unit == unit);
    own.map(|series| Line { label: label.clone(), colour, positions: series.points.clone(), dots: false }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Check, Series};

    fn run(repeat: u32, passed: bool, names: &[&str]) -> Run {
        let one =
            |name: &&str| Series { name: name.to_string(), unit: "1/s".into(), points: vec![(0.0, 1.0), (5.0, 2.0)] };
        let checks = vec![Check { passed, ..Check::default() }];
        Run { repeat, checks, series: names.iter().map(one).collect(), ..Run::default() }
    }

    #[test]
    fn each_name_has_a_plot_with_a_line_for_each_run() {
        let plots = series(&[&run(1, true, &["rate", "lag"]), &run(2, true, &["rate"])]);
        assert_eq!(plots.len(), 2);
        assert!(plots[0].contains("\nrepeat 1\n") && plots[0].contains("\nrepeat 2\n"));
        assert!(plots[1].contains("\nlag\n") && !plots[1].contains("\nrepeat 2\n"));
    }

    #[test]
    fn a_void_run_is_said_to_be_void() {
        assert!(series(&[&run(3, false, &["rate"])])[0].contains("\nrepeat 3 (void)\n"));
    }
}
