//! What all pairs together say, as text, JSON and Markdown.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use super::side::Side;
use crate::{
    compare::{self, row::Row},
    page::number::number,
    report::Report,
};

/// The runs of both programs, numbered by their pair.
#[derive(Debug)]
pub(super) struct Findings {
    workload: String,
    reports: [Report; 2],
    failures: Vec<Failure>,
}

/// A run that left no report.
#[derive(Debug, Serialize)]
struct Failure {
    pair: u32,
    side: &'static str,
    reason: String,
}

impl Findings {
    pub(super) fn new(workload: &[String], programs: [&Path; 2]) -> Self {
        let reports = programs.map(|program| Report { title: program.display().to_string(), ..Report::default() });
        Self { workload: workload.join(" "), reports, failures: Vec::new() }
    }

    /// Adds a run. One without a report is only noted, unless it is of the first pair.
    pub(super) fn take(&mut self, pair: u32, side: Side, report: Result<Report>) -> Result<()> {
        match report {
            Ok(report) => self.add(pair, side, report),
            Err(error) if pair == 1 => {
                return Err(error.context(format!("the program of {} cannot be run", side.name())));
            }
            Err(error) => {
                self.failures.push(Failure { pair, side: side.name(), reason: format!("{error:#}") });
            }
        }
        Ok(())
    }

    fn add(&mut self, pair: u32, side: Side, mut report: Report) {
        report.runs.iter_mut().for_each(|run| run.repeat = pair);
        let all = &mut self.reports[side as usize];
        all.runs.append(&mut report.runs);
        if all.environment.is_empty() {
            all.environment = report.environment;
        }
    }

    fn rows(&self) -> Result<Vec<Row>> {
        compare::rows(&self.reports[0], &self.reports[1])
    }

    /// How many pairs count, of the figure that has most.
    pub(super) fn count(&self) -> Result<usize> {
        Ok(self.rows()?.iter().map(|row| row.before.len()).max().unwrap_or(0))
    }

    /// What is printed.
    pub(super) fn text(&self) -> Result<String> {
        let failures: String = self.failures.iter().map(|failure| format!("{}\n", failure.line())).collect();
        Ok(format!("\n{}\n{}{failures}", self.workload, compare::comparison(&self.reports[0], &self.reports[1])?))
    }

    /// Writes pairs.json and pairs.md.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(&self.json()?)?;
        for (name, text) in [("pairs.json", json), ("pairs.md", self.markdown()?)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn json(&self) -> Result<serde_json::Value> {
        let [before, after] = self
            .reports
            .each_ref()
            .map(|report| json!({ "program": report.title, "environment": report.environment, "void": void(report) }));
        Ok(json!({
            "workload": self.workload, "before": before, "after": after,
            "rows": self.rows()?, "without_report": self.failures,
        }))
    }

    fn markdown(&self) -> Result<String> {
        let [before, after] = self.reports.each_ref().map(|report| report.title.as_str());
        let mut text = format!("# {}\n\nbefore: `{before}`, after: `{after}`\n\n", self.workload);
        text += "| workload | figure | before, pair by pair | after | median of after/before | interval | |\n";
        text += "|---|---|---:|---:|---:|---|---|\n";
        text += &self.rows()?.iter().map(markdown_row).collect::<String>();
        text +=
            "\nInterval: of the median, by the 95 % bootstrap, or from the least to the greatest ratio (min-max).\n";
        for (report, side) in self.reports.iter().zip([Side::Before, Side::After]) {
            text +=
                &void(report).iter().map(|pair| format!("\nVoid: pair {pair}, {}.\n", side.name())).collect::<String>();
        }
        text += &self.failures.iter().map(|failure| format!("\n{}\n", failure.line())).collect::<String>();
        Ok(text)
    }
}

impl Failure {
    fn line(&self) -> String {
        format!("pair {}, {}: VOID: {}", self.pair, self.side, self.reason)
    }
}

/// The pairs in which a check of this program failed.
fn void(report: &Report) -> Vec<u32> {
    report.runs.iter().filter(|run| !run.is_valid()).map(|run| run.repeat).collect()
}

fn markdown_row(row: &Row) -> String {
    let values = |values: &[f64]| values.iter().map(|value| number(*value)).collect::<Vec<_>>().join(" / ");
    let interval = row.interval.map_or_else(|| "none".into(), |interval| interval.to_string());
    format!(
        "| {}, {} | {} | {} | {} | {:.3} | {interval} | {} |\n",
        row.workload,
        row.variant,
        row.label(),
        values(&row.before),
        values(&row.after),
        row.ratio,
        row.verdict()
    )
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::report::{Better, Check, Run};

    fn report(rate: f64, passed: bool) -> Result<Report> {
        let mut run = Run { workload: "lives".into(), variant: "x".into(), repeat: 1, ..Run::default() };
        run.figure("rate", "1/s", rate, Better::Higher);
        run.checks = vec![Check { passed, ..Check::default() }];
        Ok(Report { runs: vec![run], ..Report::default() })
    }

    /// Three pairs, of which the second is void and the third has no partner.
    fn findings() -> Findings {
        let workload = ["lives", "--orders", "7"].map(String::from);
        let mut findings = Findings::new(&workload, [Path::new("old"), Path::new("new")]);
        let mut take = |pair, side, report| findings.take(pair, side, report).expect("no run of the first pair failed");
        take(1, Side::Before, report(100.0, true));
        take(1, Side::After, report(150.0, true));
        take(2, Side::After, report(1.0, false));
        take(2, Side::Before, report(100.0, true));
        take(3, Side::Before, report(100.0, true));
        take(3, Side::After, Err(anyhow!("no report")));
        findings
    }

    #[test]
    fn only_pairs_count_whose_runs_are_both_valid() {
        let findings = findings();
        let rows = findings.rows().expect("no pair is there twice");
        assert_eq!((rows[0].before.clone(), rows[0].after.clone()), (vec![100.0], vec![150.0]));
        let text = findings.text().expect("no pair is there twice");
        assert!(text.contains("B: 1 of 2 runs VOID") && text.contains("only in A: lives / x, repeat 3"), "{text}");
        assert!(text.ends_with("pair 3, after: VOID: no report\n"), "{text}");
        assert_eq!(findings.count().expect("no pair is there twice"), 1);
    }

    #[test]
    fn the_files_have_the_values_of_each_pair() {
        let findings = findings();
        let json = findings.json().expect("no pair is there twice");
        assert_eq!((&json["rows"][0]["before"][0], &json["after"]["void"][0]), (&json!(100.0), &json!(2)));
        let text = findings.markdown().expect("no pair is there twice");
        assert!(text.contains("| rate [1/s] | 100 | 150 | 1.500 | none | one pair: no interval |"), "{text}");
        assert!(text.contains("Void: pair 2, after.") && text.contains("pair 3, after: VOID: no report"), "{text}");
    }

    #[test]
    fn a_run_without_a_report_in_the_first_pair_ends_it() {
        let mut findings = Findings::new(&[], [Path::new("old"), Path::new("new")]);
        assert!(findings.take(1, Side::After, Err(anyhow!("no report"))).is_err());
    }
}
