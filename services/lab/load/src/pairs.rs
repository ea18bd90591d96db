//! `comanda load pairs`: two programs run the same workload in turn, and what changed from one to the other.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::{findings::Findings, program::Program, side::Side};
use crate::{page::number::number, report::Report};

mod findings;
mod program;
mod side;

const HELP: &str = "\
The programs run in the order before, after, after, before, before, after ...: what drifts during the measurement (a disk that fills, a \
neighbour on the machine) then does not count for one of them alone. Each run is `PROGRAM load WORKLOAD ..`, a process of its own. What it \
prints and reports is kept in a folder for each run below --output.

A run whose truth check fails, or that leaves no report, is void, together with its partner. A run without a report in the first pair ends \
the measurement: then the command line is likely wrong.

For each figure that both programs report, the table has the medians, the median of the paired ratios after/before, and where that median \
lies: by the 95 % bootstrap interval, or from the least to the greatest ratio where there are fewer than 5 pairs (min-max). \
`comanda load compare --help` says what that means. pairs.json and pairs.md in the output folder also have the values of each pair.

Two runs of one program differ as well. Give the same program twice to see by how much:

  comanda load pairs --before ./comanda --after ./comanda --pairs 5 -- lives --orders 30000 --clients 256";

/// Settings of `pairs`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct PairsArgs {
    /// The program of before, a `comanda`.
    #[arg(long, value_name = "PROGRAM")]
    before: PathBuf,
    /// The program of after; the same one to see how much runs of one program differ.
    #[arg(long, value_name = "PROGRAM")]
    after: PathBuf,
    /// Further environment of the runs of after, such as COMANDA_LOAD_SECURED=certs: so one program can be compared under two settings.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    after_env: Vec<(String, String)>,
    /// How many pairs are run.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// How long a run may take, in minutes; then it is ended, and void.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    run_minutes: u64,
    /// A folder for pairs.json, pairs.md and the reports of all runs.
    #[arg(long, default_value = "load-pairs")]
    output: PathBuf,
    /// What is run: what you would write behind `comanda load`, but for --output and --repeats.
    #[arg(last = true, required = true, value_name = "WORKLOAD")]
    workload: Vec<String>,
}

/// Runs all pairs, and prints what they say.
pub async fn run(args: PairsArgs) -> Result<()> {
    check(&args.workload)?;
    let programs = [(&args.before, &[][..]), (&args.after, &args.after_env[..])].map(|(path, environment)| Program {
        path: path.clone(),
        workload: args.workload.clone(),
        environment: environment.to_vec(),
        most: Duration::from_secs(args.run_minutes * 60),
    });
    programs.iter().try_for_each(Program::check)?;
    let mut findings = Findings::new(&args.workload, [&args.before, &args.after]);
    let bar = progress(args.pairs);
    for pair in 1..=args.pairs {
        for side in Side::order(pair) {
            bar.set_message(format!("pair {pair}, {}", side.name()));
            let folder = args.output.join(format!("pair-{pair}-{}", side.name()));
            let report = programs[side as usize].run(&folder).await;
            bar.suspend(|| tell(pair, side, &report));
            findings.take(pair, side, report)?;
            bar.inc(1);
        }
        findings.write(&args.output)?;
    }
    bar.finish_and_clear();
    print!("{}", findings.text()?);
    ensure!(findings.count()? > 0, "all pairs are void: see {}", args.output.display());
    Ok(())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must look like NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Where a report goes, and how often a workload is run, is for `pairs` to say.
fn check(workload: &[String]) -> Result<()> {
    for option in ["--output", "--repeats"] {
        let is_option = |word: &String| word.split('=').next() == Some(option);
        if workload.iter().any(is_option) {
            bail!("{option} cannot be among the arguments of the workload: `pairs` sets it for each run");
        }
    }
    Ok(())
}

fn progress(pairs: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos} of {len} runs, {msg}; {eta} left")
        .expect("a template that is valid");
    let bar = ProgressBar::new(2 * u64::from(pairs)).with_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// One line for each run, also where nobody sees the bar.
fn tell(pair: u32, side: Side, report: &Result<Report>) {
    let runs = report.iter().flat_map(|report| &report.runs);
    let told = runs.map(|run| match run.figures.first() {
        _ if !run.is_valid() => format!("{} VOID", run.workload),
        Some(figure) => format!("{} {}", figure.name, number(figure.value)),
        None => format!("{} without figures", run.workload),
    });
    let mut told = told.collect::<Vec<_>>().join(", ");
    if let Err(error) = report {
        told = format!("VOID: {error:#}");
    }
    println!("pair {pair}, {}: {told}", side.name());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn the_workload_cannot_say_where_its_report_goes_nor_how_often_it_runs() {
        assert!(check(&words("lives --orders 10")).is_ok());
        for line in ["lives --output elsewhere", "lives --output=elsewhere", "lives --repeats 2"] {
            assert!(check(&words(line)).is_err(), "{line}");
        }
    }
}
