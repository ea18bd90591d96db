//! The times of all combinations, as one picture.

use super::{ExperimentArgs, beside, line, name};
use crate::{
    plot::{Grouped, Scale},
    report::Report,
};

/// A line for each combination or way, over the counts of orders: the mean of all repeats. Nothing where nothing was timed.
pub fn draw(report: &Report, args: &ExperimentArgs) -> Option<String> {
    let combinations = args
        .state_machines
        .iter()
        .flat_map(|machines| args.topic_partitions.iter().map(|partitions| line(*machines, *partitions)));
    let lines = combinations.chain(beside::LINES.map(str::to_owned)).map(|line| {
        let means = args.orders.iter().map(|orders| mean(report, &name(*orders, &line))).collect();
        (line, means)
    });
    let mut lines: Vec<(String, Vec<Option<f64>>)> = lines.collect();
    lines.retain(|(_, means)| means.iter().any(Option::is_some));
    if lines.is_empty() {
        return None;
    }
    let grouped = Grouped {
        title: "From the first call until the last order is delivered".into(),
        x_label: "orders".into(),
        y_label: "seconds".into(),
        y_scale: Scale::default(),
        categories: args.orders.iter().map(u64::to_string).collect(),
        lines,
    };
    Some(grouped.draw())
}

/// Of the runs that count.
fn mean(report: &Report, name: &str) -> Option<f64> {
    let runs = report.runs.iter().filter(|run| run.is_valid());
    let values: Vec<f64> = runs.filter_map(|run| run.value(name)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Better, Run};

    #[test]
    fn void_runs_do_not_count() {
        let mut report = Report::default();
        for (seconds, passed) in [(1.0, true), (3.0, true), (100.0, false)] {
            let mut run = Run::default();
            run.figure("a", "s", seconds, Better::Lower);
            run.check("all arrive", passed, "");
            report.runs.push(run);
        }
        assert_eq!((mean(&report, "a"), mean(&report, "b")), (Some(2.0), None));
    }
}
