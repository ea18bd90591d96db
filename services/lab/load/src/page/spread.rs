//! What became of a number over the repeats that count.

use super::number::number;
use crate::{compare::statistics::median, report::Run};

/// The middle and the ends.
#[derive(Debug, PartialEq)]
pub(super) struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// Of how many runs.
    pub count: usize,
}

impl Spread {
    /// Over the valid runs that have such a number. None if none has.
    pub fn of(runs: &[&Run], value: impl Fn(&Run) -> Option<f64>) -> Option<Self> {
        let valid = runs.iter().filter(|run| run.is_valid());
        let values: Vec<f64> = valid.filter_map(|run| value(run)).collect();
        Some(Self {
            median: median(&values)?,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            count: values.len(),
        })
    }

    /// The median and, where they differ, the ends, as HTML.
    pub fn html(&self) -> String {
        let ends = format!(" <small>{} .. {}</small>", number(self.min), number(self.max));
        format!("<b>{}</b>{}", number(self.median), if self.count > 1 { &ends } else { "" })
    }
}

/// The median of the valid runs as text.
pub(super) fn median_text(runs: &[&Run], value: impl Fn(&Run) -> Option<f64>) -> String {
    Spread::of(runs, value).map_or_else(|| "–".into(), |spread| number(spread.median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Better, Check};

    fn run(rate: f64, passed: bool) -> Run {
        let mut run = Run { checks: vec![Check { passed, ..Check::default() }], ..Run::default() };
        run.figure("rate", "1/s", rate, Better::Higher);
        run
    }

    #[test]
    fn a_void_run_does_not_count() {
        let runs = [run(10.0, true), run(1_000.0, false), run(30.0, true), run(20.0, true)];
        let spread = Spread::of(&runs.each_ref(), |run| run.value("rate"));
        assert_eq!(spread, Some(Spread { median: 20.0, min: 10.0, max: 30.0, count: 3 }));
    }

    #[test]
    fn void_runs_alone_have_no_median() {
        assert_eq!(median_text(&[&run(1.0, false)], |run| run.value("rate")), "–");
    }

    #[test]
    fn one_run_has_no_ends() {
        let spread = Spread::of(&[&run(10.0, true)], |run| run.value("rate")).expect("it is valid");
        assert_eq!(spread.html(), "<b>10</b>");
    }
}
