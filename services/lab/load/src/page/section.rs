//! All about one variant of a workload.

use super::{
    number::number,
    spread::{Spread, median_text},
    summary::with_unit,
    table::{Table, escape, figure, figure_head, head, text},
};
use crate::{
    plot::{self, distinct},
    report::{Better, Cost, Latency, Run},
};

/// (percentile, how it is called).
const PERCENTILES: [(f64, &str); 5] = [(50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (99.9, "p99.9"), (100.0, "max")];
const MIB: f64 = 1024.0 * 1024.0;

/// The section of the group at this place.
pub(super) fn section(index: usize, workload: &str, variant: &str, runs: &[&Run]) -> String {
    let title = [workload, variant].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    let mut html = format!("<h2 id=\"s{index}\">{}</h2>\n", escape(&title));
    html.extend(runs.iter().filter(|run| !run.is_valid()).map(|run| void(run)));
    html += &titled("Figures", figures(runs));
    html += &titled("Latencies in milliseconds (medians of the valid runs)", latencies(runs));
    html += &plots(runs);
    html += &titled("Costs (medians of the valid runs)", costs(runs));
    html += &titled("Truth checks", checks(runs));
    html
}

fn titled(title: &str, table: Table) -> String {
    format!("<h3>{title}</h3>\n{}", table.html())
}

fn void(run: &Run) -> String {
    let failed = run.checks.iter().filter(|check| !check.passed);
    let reasons: Vec<String> = failed.map(|check| format!("{}: {}", check.name, check.detail)).collect();
    format!("<p class=\"void\">Repeat {} is VOID. {}</p>\n", run.repeat, escape(&reasons.join("; ")))
}

/// Each figure over all runs, then in each.
fn figures(runs: &[&Run]) -> Table {
    let mut table = Table::default();
    let heads = ["median", "min", "max", "n"].map(figure_head);
    let repeats = runs.iter().map(|run| figure_head(&format!("repeat {}", run.repeat)));
    table.row([head("figure")].into_iter().chain(heads).chain(repeats));
    let all = runs.iter().flat_map(|run| &run.figures);
    for (name, unit, better) in distinct(all.map(|figure| (figure.name.as_str(), figure.unit.as_str(), figure.better)))
    {
        let label = format!("{}{}", with_unit(name, unit), arrow(better));
        let values = runs.iter().map(|run| figure(&value(run, name)));
        table.row([text(&label)].into_iter().chain(spread(runs, name)).chain(values));
    }
    table
}

/// Which way is better.
fn arrow(better: Better) -> &'static str {
    match better {
        Better::Higher => " ↑",
        Better::Lower => " ↓",
        Better::Neither => "",
    }
}

fn spread(runs: &[&Run], name: &str) -> [String; 4] {
    match Spread::of(runs, |run| run.value(name)) {
        Some(spread) => [
            figure(&format!("<b>{}</b>", number(spread.median))),
            figure(&number(spread.min)),
            figure(&number(spread.max)),
            figure(&spread.count.to_string()),
        ],
        None => ["–", "–", "–", "0"].map(figure),
    }
}

/// A figure of one run, struck out if it does not count.
fn value(run: &Run, name: &str) -> String {
    let text = run.value(name).map_or_else(|| "–".into(), number);
    if run.is_valid() { text } else { format!("<del>{text}</del>") }
}

fn latencies(runs: &[&Run]) -> Table {
    let mut table = Table::default();
    let heads = PERCENTILES.map(|(_, name)| figure_head(name));
    table.row([head("what lasted"), figure_head("how often")].into_iter().chain(heads));
    for name in distinct(runs.iter().flat_map(|run| &run.latencies).map(|latency| latency.name.as_str())) {
        let of = |run: &Run, value: &dyn Fn(&Latency) -> Option<f64>| {
            run.latencies.iter().find(|latency| latency.name == name).and_then(value)
        };
        let count = median_text(runs, |run| of(run, &|latency| Some(latency.count as f64)));
        let values = PERCENTILES.map(|(at, _)| median_text(runs, |run| of(run, &|latency| latency.at(at))));
        table.row([text(name), figure(&count)].into_iter().chain(values.iter().map(|value| figure(value))));
    }
    table
}

fn plots(runs: &[&Run]) -> String {
    let plots: String = plot::latencies(runs).into_iter().chain(plot::series(runs)).chain(plot::costs(runs)).collect();
    format!("<div class=\"plots\">\n{plots}</div>\n")
}

fn costs(runs: &[&Run]) -> Table {
    let mut table = Table::default();
    let heads = ["CPU (s)", "RSS (MiB)", "context switches"].map(figure_head);
    table.row([head("process")].into_iter().chain(heads));
    for process in distinct(runs.iter().flat_map(|run| &run.costs).map(|cost| cost.process.as_str())) {
        let median = |value: fn(&Cost) -> f64| {
            figure(&median_text(runs, |run| run.costs.iter().find(|cost| cost.process == process).map(value)))
        };
        let rss_mib = median(|cost| cost.rss_bytes as f64 / MIB);
        let switches = median(|cost| cost.context_switches as f64);
        table.row([text(process), median(|cost| cost.cpu_seconds), rss_mib, switches]);
    }
    table
}

fn checks(runs: &[&Run]) -> Table {
    let mut table = Table::default();
    table.row(["repeat", "begun", "what had to be true", "was it", "what was found"].map(head));
    for run in runs {
        for check in &run.checks {
            let result = if check.passed { "<td>passed</td>" } else { "<td class=\"failed\">FAILED</td>" };
            let repeat = figure(&run.repeat.to_string());
            table.row([repeat, text(&run.start_time), text(&check.name), result.into(), text(&check.detail)]);
        }
        if run.checks.is_empty() {
            table.row([figure(&run.repeat.to_string()), text(&run.start_time), text("nothing was checked")]);
        }
    }
    table
}
