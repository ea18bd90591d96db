//! `comanda load compare`: whether one report is better than another.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Result, ensure};

use self::row::{Row, table};
use crate::report::{Report, Run};

pub mod interval;
mod measure;
pub mod row;
pub mod statistics;

const HELP: &str = "\
Runs are paired by workload, variant and repeat, so that what drifts from one repeat to the next (a disk that fills, a neighbour on the \
machine) does not count as a difference. Best take A and B in turns: A1 B1 A2 B2 ...

For each figure that can be better or worse, and for p50 and p99 of each latency, the table has the medians of A and of B, the median of \
the paired ratios B/A, and where that median lies: by the 95 % bootstrap interval (10,000 resamples, always the same ones), or by the least \
and the greatest ratio where there are fewer than 5 pairs (min-max). The last column says

  better, worse               the interval leaves 1 out
  better/worse in every pair  so does the range of fewer than 5 pairs
  no difference shown         1 lies in it. This does not show that there is none
  one pair: no interval

The range of 3 pairs covers the true median in 75 of 100 cases only, the interval of 5 in 94. And of 20 rows without any difference one will \
look different by chance: say first which one you want to see. Figures that only one of the reports has are named below the table.

Void runs, in which a truth check failed, are left out together with their partners.";

/// Compares two reports: what became better or worse from A to B
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct CompareArgs {
    /// The report of what was before, a JSON file
    #[arg(value_name = "A.json")]
    pub before: PathBuf,
    /// The report of what came after, a JSON file
    #[arg(value_name = "B.json")]
    pub after: PathBuf,
}

/// (workload, variant, repeat).
type Key<'a> = (&'a str, &'a str, u32);

/// Prints the comparison.
pub fn run(args: CompareArgs) -> Result<()> {
    let (before, after) = (Report::read(&args.before)?, Report::read(&args.after)?);
    print!("{}", comparison(&before, &after)?);
    Ok(())
}

/// All that is to be said, as text.
pub fn comparison(before: &Report, after: &Report) -> Result<String> {
    let mut text = format!("A: {}\nB: {}\n", before.title, after.title);
    text += &void_runs("A", before);
    text += &void_runs("B", after);
    let (runs_before, runs_after) = (by_key(before)?, by_key(after)?);
    let rows = rows(before, after)?;
    text += &if rows.is_empty() { "\nNothing to compare.\n".into() } else { format!("\n{}", table(&rows)) };
    text += &only("A", before, after);
    text += &only("B", after, before);
    text += &unpaired("A", &runs_before, &runs_after);
    text += &unpaired("B", &runs_after, &runs_before);
    Ok(text)
}

/// A row for each workload, variant and figure of which there is a pair, in the order of the first report.
pub fn rows(before: &Report, after: &Report) -> Result<Vec<Row>> {
    by_key(before)?;
    let after = by_key(after)?;
    Ok(before.groups().iter().flat_map(|(_, _, runs)| group_rows(&pairs(runs, &after))).collect())
}

/// Says which runs do not count, so that no figure goes missing unnoticed.
fn void_runs(name: &str, report: &Report) -> String {
    let void: Vec<&Run> = report.runs.iter().filter(|run| !run.is_valid()).collect();
    let named: String = void.iter().map(|run| format!("  {}, repeat {}\n", group(run), run.repeat)).collect();
    match void.len() {
        0 => String::new(),
        count => format!("{name}: {count} of {} runs VOID, left out with their partners:\n{named}", report.runs.len()),
    }
}

fn by_key(report: &Report) -> Result<BTreeMap<Key<'_>, &Run>> {
    let mut runs = BTreeMap::new();
    for run in &report.runs {
        let is_new = runs.insert(key(run), run).is_none();
        ensure!(is_new, "{} holds repeat {} of {} twice", report.title, run.repeat, group(run));
    }
    Ok(runs)
}

/// The runs with their partners, where both count.
fn pairs<'a>(runs: &[&'a Run], others: &BTreeMap<Key, &'a Run>) -> Vec<(&'a Run, &'a Run)> {
    let paired = runs.iter().filter_map(|run| Some((*run, *others.get(&key(run))?)));
    paired.filter(|(before, after)| before.is_valid() && after.is_valid()).collect()
}

fn group_rows(pairs: &[(&Run, &Run)]) -> Vec<Row> {
    let measures = measure::all(pairs.iter().flat_map(|(before, after)| [*before, *after]));
    measures.iter().filter_map(|measure| Row::new(measure, pairs)).collect()
}

/// Names the figures of one report that no run of the same workload and variant in the other has.
fn only(name: &str, report: &Report, other: &Report) -> String {
    let mut text = String::new();
    for (workload, variant, runs) in report.groups() {
        let partners: Vec<&Run> = other
            .runs
            .iter()
            .filter(|run| (run.workload.as_str(), run.variant.as_str()) == (workload, variant))
            .collect();
        let measures = measure::all(runs.iter().copied());
        let missing = measures.iter().filter(|measure| partners.iter().all(|run| measure.value(run).is_none()));
        let missing: Vec<String> = missing.map(measure::Measure::name).collect();
        if !partners.is_empty() && !missing.is_empty() {
            text += &format!("only in {name}: {}\n", missing.join(", "));
        }
    }
    text
}

/// Names the runs that the other report has not.
fn unpaired(name: &str, runs: &BTreeMap<Key, &Run>, others: &BTreeMap<Key, &Run>) -> String {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in runs.values().filter(|run| !others.contains_key(&key(run))) {
        groups.entry(group(run)).or_default().push(run.repeat.to_string());
    }
    groups.iter().map(|(group, repeats)| format!("only in {name}: {group}, repeat {}\n", repeats.join(", "))).collect()
}

fn key(run: &Run) -> Key<'_> {
    (&run.workload, &run.variant, run.repeat)
}

fn group(run: &Run) -> String {
    if run.variant.is_empty() { run.workload.clone() } else { format!("{} / {}", run.workload, run.variant) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Better, Check, Latency};

    /// Runs of one variant with these rates, counted from 1.
    fn report(title: &str, variant: &str, rates: &[f64]) -> Report {
        let runs = (1..).zip(rates).map(|(repeat, rate)| {
            let mut run = Run { workload: "lives".into(), variant: variant.into(), repeat, ..Run::default() };
            run.figure("rate", "1/s", *rate, Better::Higher);
            run.figure("orders", "", 1000.0, Better::Neither);
            run.latencies =
                vec![Latency { name: "accept".into(), count: 9, percentiles: vec![(50.0, 10.0), (99.0, *rate)] }];
            run
        });
        Report { title: title.into(), runs: runs.collect(), ..Report::default() }
    }

    fn compared(before: &Report, after: &Report) -> String {
        comparison(before, after).expect("no run is there twice")
    }

    /// The words of the row of a figure.
    fn row<'a>(text: &'a str, figure: &str) -> Vec<&'a str> {
        let line = text.lines().find(|line| line.contains(figure)).expect("a row of this figure");
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
    }

    #[test]
    fn runs_are_compared_with_their_partners() {
        let text = compared(&report("a", "x", &[100.0, 200.0, 400.0]), &report("b", "x", &[120.0, 220.0, 600.0]));
        let cells = [
            "lives",
            "x",
            "rate [1/s]",
            "200",
            "220",
            "1.200",
            "1.100 to 1.500 (min-max)",
            "3",
            "better in every pair",
        ];
        assert_eq!(row(&text, "rate [1/s]"), cells);
        assert_eq!(
            row(&text, "accept p50 [ms]")[5..],
            ["1.000", "1.000 to 1.000 (min-max)", "3", "no difference shown"]
        );
        assert_eq!(row(&text, "accept p99 [ms]")[8], "worse in every pair");
        assert!(!text.contains("orders"), "what cannot be better is not compared");
    }

    #[test]
    fn a_void_run_is_counted_and_left_out_with_its_partner() {
        let mut after = report("b", "x", &[120.0, 220.0, 600.0, 1.0]);
        after.runs[3].checks.push(Check::default());
        let text = compared(&report("a", "x", &[100.0, 200.0, 400.0, 100.0]), &after);
        assert!(text.contains("B: 1 of 4 runs VOID, left out with their partners:\n  lives / x, repeat 4\n"), "{text}");
        assert_eq!(row(&text, "rate [1/s]")[3..6], ["200", "220", "1.200"]);
    }

    #[test]
    fn one_pair_has_no_interval_and_five_have_a_bootstrap_interval() {
        let text = compared(&report("a", "x", &[100.0]), &report("b", "x", &[300.0]));
        assert_eq!(row(&text, "rate [1/s]")[5..], ["3.000", "none", "1", "one pair: no interval"]);
        let text = compared(&report("a", "x", &[100.0; 5]), &report("b", "x", &[300.0; 5]));
        assert_eq!(row(&text, "rate [1/s]")[5..], ["3.000", "3.000 to 3.000", "5", "better"]);
    }

    #[test]
    fn a_figure_that_only_one_report_has_is_named() {
        let (before, mut after) = (report("a", "x", &[100.0, 100.0]), report("b", "x", &[100.0, 100.0]));
        after.runs.iter_mut().for_each(|run| run.figure("WAL", "B", 1.0, Better::Lower));
        assert!(compared(&before, &after).ends_with("only in B: WAL\n"));
        // A figure that some pairs have is compared over these.
        after.runs[0].figures.pop();
        let mut before = after.clone();
        before.runs.reverse();
        before.title = "a".into();
        assert_eq!(row(&compared(&before, &after), "WAL [B]")[5..], ["1.000", "none", "1", "one pair: no interval"]);
    }

    #[test]
    fn a_percentile_that_is_a_figure_too_has_one_row() {
        let mut both = report("a", "x", &[100.0]);
        both.runs[0].figure("accept p50", "ms", 10.0, Better::Lower);
        assert_eq!(compared(&both, &both).matches("accept p50 [ms]").count(), 1);
    }

    #[test]
    fn what_has_no_partner_is_named() {
        let mut before = report("a", "x", &[100.0, 100.0, 100.0]);
        before.runs.extend(report("", "y", &[1.0, 1.0]).runs);
        let text = compared(&before, &report("b", "x", &[100.0, 100.0, 100.0, 1.0]));
        assert!(text.ends_with("only in A: lives / y, repeat 1, 2\nonly in B: lives / x, repeat 4\n"), "{text}");
    }

    #[test]
    fn a_run_that_is_there_twice_is_refused() {
        let mut twice = report("a", "x", &[1.0]);
        twice.runs.extend(twice.runs.clone());
        assert!(comparison(&twice, &twice).is_err());
    }
}
