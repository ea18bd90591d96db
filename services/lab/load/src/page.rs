//! A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

pub mod number;
mod section;
mod spread;
mod summary;
mod table;

use self::table::{Table, escape, head, text};
use crate::report::Report;

const STYLE: &str = include_str!("page/style.css");

/// The whole page.
pub fn page(report: &Report) -> String {
    let groups = report.groups();
    let sections: String = groups
        .iter()
        .enumerate()
        .map(|(index, (workload, variant, runs))| section::section(index, workload, variant, runs))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {void}<h2>Summary</h2>\n{summary}<h2>Environment</h2>\n{environment}{sections}</body>\n</html>\n",
        title = escape(&report.title),
        void = void(report),
        summary = summary::summary(&groups),
        environment = environment(report),
    )
}

/// How many runs do not count, so that nobody reads on without knowing.
fn void(report: &Report) -> String {
    match report.runs.iter().filter(|run| !run.is_valid()).count() {
        0 => String::new(),
        count => format!(
            "<p class=\"void\">{count} of {} runs are VOID: something that had to be true was not. Their figures are struck out \
             and do not count.</p>\n",
            report.runs.len()
        ),
    }
}

fn environment(report: &Report) -> String {
    let mut table = Table::default();
    for (name, value) in &report.environment {
        table.row([head(name), text(value)]);
    }
    table.html()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Better, Check, Cost, Latency, Run, Series};

    fn run(repeat: u32, rate: f64, passed: bool) -> Run {
        let mut run = Run { workload: "lives".into(), variant: "<b>".into(), repeat, ..Run::default() };
        run.figure("rate", "1/s", rate, Better::Higher);
        run.latencies =
            vec![Latency { name: "accept".into(), count: 100, percentiles: vec![(50.0, 1.5), (100.0, 9.0)] }];
        run.series = vec![Series { name: "lag".into(), unit: "s".into(), points: vec![(0.0, 1.0), (1.0, 2.0)] }];
        run.costs = vec![Cost { process: "postgres".into(), cpu_seconds: 2.5, ..Cost::default() }];
        run.checks = vec![Check { name: "all orders arrive".into(), passed, detail: "2 < 3".into() }];
        run
    }

    fn shown(runs: Vec<Run>) -> String {
        page(&Report { title: "A & B".into(), environment: vec![("kernel".into(), "<6.1>".into())], runs })
    }

    #[test]
    fn a_void_run_is_marked_struck_out_and_not_counted() {
        let html = shown(vec![run(1, 10.0, true), run(2, 1234.0, false), run(3, 12.0, true)]);
        assert!(
            html.contains("Repeat 2 is VOID. all orders arrive: 2 &lt; 3") && html.contains("1 of 3 runs are VOID")
        );
        assert!(html.contains("<del>1,234</del>") && html.contains("FAILED") && html.contains("2 of 3"));
        assert!(html.contains("<b>11</b> <small>10 .. 12</small>"), "{html}");
    }

    #[test]
    fn valid_runs_are_not_marked() {
        let html = shown(vec![run(1, 10.0, true)]);
        assert!(!html.contains("VOID") && !html.contains("<del>") && !html.contains("FAILED"));
    }

    #[test]
    fn text_from_a_report_is_escaped() {
        let html = shown(vec![run(1, 10.0, true)]);
        assert!(
            html.contains("<title>A &amp; B</title>")
                && html.contains("&lt;6.1&gt;")
                && html.contains("lives: &lt;b&gt;")
        );
        assert!(!html.contains("<6.1>") && !html.contains("lives: <b>"));
    }

    #[test]
    fn a_variant_has_its_plots() {
        let html = shown(vec![run(1, 10.0, true)]);
        assert!(html.contains("Latency by percentile") && html.contains("\nlag\n") && html.contains("Processor time"));
        assert_eq!(html.matches("<svg").count(), 3);
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let html = shown(vec![run(1, 10.0, true)]).replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains("<script") && !html.contains("http") && !html.contains("src="));
    }

    #[test]
    fn an_empty_report_is_a_page() {
        assert!(page(&Report::default()).ends_with("</body>\n</html>\n"));
    }
}
