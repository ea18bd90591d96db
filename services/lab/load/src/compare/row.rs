//! A figure of one variant before and after, as a row of a table.

use serde::Serialize;

use super::{
    interval::{Interval, Kind},
    measure::Measure,
    statistics::median,
};
use crate::{
    page::number::number,
    report::{Better, Run},
};

const HEAD: [&str; 9] = ["workload", "variant", "figure", "A", "B", "B/A", "95 % interval", "pairs", ""];
/// From this column on there are numbers, which stand to the right; the last is a word again.
const FIRST_NUMBER: usize = 3;
const LAST_NUMBER: usize = 7;

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was run.
    pub workload: String,
    /// What tells runs of one workload apart.
    pub variant: String,
    /// What is compared.
    pub figure: String,
    /// Such as `1/s`, or empty for a count.
    pub unit: String,
    /// Which direction is an improvement.
    pub better: Better,
    /// The value of each pair before.
    pub before: Vec<f64>,
    /// The value of each pair after, in the same order.
    pub after: Vec<f64>,
    /// The median of the paired ratios.
    pub ratio: f64,
    /// Where that median lies. None of a single pair.
    pub interval: Option<Interval>,
}

impl Row {
    /// Compares one figure over all pairs that have it. None if none has.
    pub(super) fn new(measure: &Measure, pairs: &[(&Run, &Run)]) -> Option<Self> {
        let values = pairs.iter().filter_map(|(a, b)| Some((measure.value(a)?, measure.value(b)?)));
        let (before, after): (Vec<f64>, Vec<f64>) = values.unzip();
        let ratios = ratios(&before, &after);
        let run = pairs.first()?.0;
        Some(Self {
            workload: run.workload.clone(),
            variant: run.variant.clone(),
            figure: measure.name(),
            unit: measure.unit.clone(),
            better: measure.better,
            ratio: median(&ratios)?,
            interval: Interval::of(&ratios),
            before,
            after,
        })
    }

    /// What it is called, with its unit.
    pub fn label(&self) -> String {
        if self.unit.is_empty() { self.figure.clone() } else { format!("{} [{}]", self.figure, self.unit) }
    }

    /// What the interval says.
    pub fn verdict(&self) -> &'static str {
        let Some(interval) = self.interval else { return "one pair: no interval" };
        if interval.holds(1.0) {
            return "no difference shown";
        }
        match (self.better == Better::Higher, interval.low > 1.0, interval.kind) {
            (higher, above, Kind::Bootstrap) if higher == above => "better",
            (_, _, Kind::Bootstrap) => "worse",
            (higher, above, Kind::MinMax) if higher == above => "better in every pair",
            (_, _, Kind::MinMax) => "worse in every pair",
        }
    }

    fn cells(&self) -> [String; 9] {
        [
            self.workload.clone(),
            self.variant.clone(),
            self.label(),
            number(median(&self.before).unwrap_or(f64::NAN)),
            number(median(&self.after).unwrap_or(f64::NAN)),
            format!("{:.3}", self.ratio),
            self.interval.map_or_else(|| "none".into(), |interval| interval.to_string()),
            self.before.len().to_string(),
            self.verdict().into(),
        ]
    }
}

/// After to before, pair by pair.
fn ratios(before: &[f64], after: &[f64]) -> Vec<f64> {
    before.iter().zip(after).map(|(before, after)| ratio(*before, *after)).collect()
}

/// Nothing that stayed nothing did not change.
fn ratio(before: f64, after: f64) -> f64 {
    if before == after { 1.0 } else { after / before }
}

/// All rows with their columns aligned, below a head.
pub(super) fn table(rows: &[Row]) -> String {
    let cells: Vec<[String; 9]> = [HEAD.map(String::from)].into_iter().chain(rows.iter().map(Row::cells)).collect();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(&cells, column)).collect();
    cells.iter().map(|cells| aligned(cells, &widths)).collect()
}

fn width(cells: &[[String; 9]], column: usize) -> usize {
    cells.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0)
}

fn aligned(cells: &[String; 9], widths: &[usize]) -> String {
    let columns = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
        FIRST_NUMBER..=LAST_NUMBER => format!("{cell:>width$}"),
        _ => format!("{cell:<width$}"),
    });
    format!("{}\n", columns.collect::<Vec<_>>().join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(better: Better, kind: Kind, low: f64, high: f64) -> &'static str {
        let (workload, variant, figure, unit, before, after) = Default::default();
        let interval = Some(Interval { kind, low, high });
        Row { workload, variant, figure, unit, better, before, after, ratio: 1.0, interval }.verdict()
    }

    #[test]
    fn an_interval_on_one_side_of_1_is_better_or_worse_by_the_direction() {
        let at = |better, kind| [verdict(better, kind, 1.01, 1.2), verdict(better, kind, 0.8, 0.99)];
        assert_eq!(at(Better::Higher, Kind::Bootstrap), ["better", "worse"]);
        assert_eq!(at(Better::Lower, Kind::Bootstrap), ["worse", "better"]);
        assert_eq!(at(Better::Higher, Kind::MinMax), ["better in every pair", "worse in every pair"]);
        assert_eq!(at(Better::Lower, Kind::MinMax), ["worse in every pair", "better in every pair"]);
    }

    #[test]
    fn an_interval_around_1_shows_no_difference() {
        assert_eq!(verdict(Better::Higher, Kind::Bootstrap, 0.99, 1.5), "no difference shown");
        assert_eq!(verdict(Better::Lower, Kind::MinMax, 1.0, 1.5), "no difference shown");
    }

    #[test]
    fn nothing_that_stays_nothing_is_no_change() {
        assert_eq!([ratio(0.0, 0.0), ratio(2.0, 3.0), ratio(0.0, 1.0)], [1.0, 1.5, f64::INFINITY]);
    }
}
