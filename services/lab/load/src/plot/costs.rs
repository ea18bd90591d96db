//! What each process used, as bars.

use super::{
    axis::{Axis, Scale},
    chart::{Bar, Chart},
    distinct,
};
use crate::{compare::statistics::median, page::number::number, report::Run};

/// How much processor time each process used: the median of the valid runs. None if there is nothing of it.
pub fn costs(runs: &[&Run]) -> Option<String> {
    let costs = || runs.iter().filter(|run| run.is_valid()).flat_map(|run| &run.costs);
    let processes = distinct(costs().map(|cost| cost.process.as_str()));
    let of = |process| costs().filter(|cost| cost.process == process).map(|cost| cost.cpu_seconds).collect::<Vec<_>>();
    let medians: Vec<f64> = processes.iter().filter_map(|process| median(&of(*process))).collect();
    // From the top down, as they are listed elsewhere.
    let names: Vec<String> = processes.iter().rev().map(|process| process.to_string()).collect();
    let bars: Vec<Bar> = medians.iter().rev().enumerate().map(|(place, seconds)| bar(place, *seconds)).collect();
    let x = Axis::new(Scale::Linear, "CPU seconds (median)", medians.iter().copied());
    let y = Axis::categories("", &names);
    let chart = Chart { title: "Processor time".into(), x, y, lines: Vec::new(), bars };
    (!medians.is_empty()).then(|| chart.draw())
}

fn bar(place: usize, seconds: f64) -> Bar {
    Bar { y: place as f64, length: seconds, text: number(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Check, Cost};

    fn run(cpu_seconds: f64, passed: bool) -> Run {
        let checks = vec![Check { passed, ..Check::default() }];
        Run { costs: vec![Cost { process: "kafka".into(), cpu_seconds, ..Cost::default() }], checks, ..Run::default() }
    }

    #[test]
    fn a_bar_is_the_median_of_the_valid_runs() {
        let svg =
            costs(&[&run(1.25, true), &run(88.5, false), &run(3.25, true), &run(2.25, true)]).expect("there are costs");
        assert!(svg.contains("\nkafka\n") && svg.contains("\n2.25\n"), "{svg}");
        assert!(!svg.contains("88.5"));
    }

    #[test]
    fn no_valid_run_is_no_plot() {
        assert_eq!(costs(&[&run(1.0, false)]), None);
    }
}
