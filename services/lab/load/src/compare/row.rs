//! A figure of one variant before and after, as a row of a table.

use super::{
    measure::Measure,
    statistics::{median, median_interval},
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
#[derive(Debug)]
pub(super) struct Row {
    workload: String,
    variant: String,
    figure: String,
    better: Better,
    before: f64,
    after: f64,
    /// The median of the paired ratios.
    ratio: f64,
    interval: Option<(f64, f64)>,
    pairs: usize,
}

impl Row {
    /// Compares one figure over all pairs that have it. None if none has.
    pub fn new(measure: &Measure, pairs: &[(&Run, &Run)]) -> Option<Self> {
        let values: Vec<(f64, f64)> =
            pairs.iter().filter_map(|(a, b)| Some((measure.value(a)?, measure.value(b)?))).collect();
        let ratios: Vec<f64> = values.iter().map(|(before, after)| ratio(*before, *after)).collect();
        let (before, after): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let run = pairs.first()?.0;
        Some(Self {
            workload: run.workload.clone(),
            variant: run.variant.clone(),
            figure: measure.label(),
            better: measure.better,
            before: median(&before)?,
            after: median(&after)?,
            ratio: median(&ratios)?,
            interval: median_interval(&ratios),
            pairs: ratios.len(),
        })
    }

    /// What the interval says.
    pub fn verdict(&self) -> &'static str {
        match (self.interval, self.better) {
            (None, _) => "fewer than 3 pairs: no interval",
            (Some((low, high)), _) if low <= 1.0 && high >= 1.0 => "no difference shown",
            (Some((low, _)), Better::Higher) if low > 1.0 => "better",
            (Some((_, high)), Better::Lower) if high < 1.0 => "better",
            _ => "worse",
        }
    }

    fn cells(&self) -> [String; 9] {
        let interval = self.interval.map(|(low, high)| format!("{low:.3} to {high:.3}"));
        [
            self.workload.clone(),
            self.variant.clone(),
            self.figure.clone(),
            number(self.before),
            number(self.after),
            format!("{:.3}", self.ratio),
            interval.unwrap_or_else(|| "none".into()),
            self.pairs.to_string(),
            self.verdict().into(),
        ]
    }
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

    fn verdict(better: Better, interval: Option<(f64, f64)>) -> &'static str {
        let (workload, variant, figure) = Default::default();
        Row { workload, variant, figure, better, before: 1.0, after: 1.0, ratio: 1.0, interval, pairs: 3 }.verdict()
    }

    #[test]
    fn an_interval_on_one_side_of_1_is_better_or_worse_by_the_direction() {
        let (above, below) = (Some((1.01, 1.2)), Some((0.8, 0.99)));
        assert_eq!([above, below].map(|interval| verdict(Better::Higher, interval)), ["better", "worse"]);
        assert_eq!([above, below].map(|interval| verdict(Better::Lower, interval)), ["worse", "better"]);
    }

    #[test]
    fn an_interval_around_1_shows_no_difference() {
        assert_eq!(verdict(Better::Higher, Some((0.99, 1.5))), "no difference shown");
        assert_eq!(verdict(Better::Lower, Some((1.0, 1.5))), "no difference shown");
    }

    #[test]
    fn nothing_that_stays_nothing_is_no_change() {
        assert_eq!([ratio(0.0, 0.0), ratio(2.0, 3.0), ratio(0.0, 1.0)], [1.0, 1.5, f64::INFINITY]);
    }
}
