//! `comanda-trials`: attacks a running Comanda and has what happened judged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use comanda_checker::{Outcome, Verdict};
use comanda_trials::{
    cluster::Folder,
    named, planted,
    report::{self, Report},
    run::{self, DUMP, HISTORY, Options, Scenario},
};

/// Attacks Comanda with faults and judges what clients saw.
///
/// Starts a Postgres, Kafka and the roles of Comanda for itself on this machine, lets clients order, move and watch while processes
/// are killed and links are cut, waits until all has come to rest, and compares what everybody saw with what is left. Needs the
/// programs of Postgres, Java, and Kafka's jars (`scripts/kafka fetch`).
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Exit codes: 0 nothing was violated; 1 something was; 2 wrong usage; 3 the run proves nothing, or could not be made.

Examples:
  comanda-trials quick                          minutes of every kind of fault
  comanda-trials random --minutes 600           a night
  comanda-trials quick --only 'postgres'        only faults of Postgres and of links to it
  comanda-trials quick --only none              no fault at all
  comanda-trials quick --seed 7                 the same faults at the same times as another run with seed 7
  comanda-trials named list                     trials that are always the same
  comanda-trials named kafka-away --scale 0.2   one of them, shortened
  comanda-trials check target/trials/quick-7    judge a run again that was kept"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A few minutes on one broker: a check of every change
    Quick(Options),
    /// The long one, on three brokers
    Random(Options),
    /// Trials that are always the same, each with goals of its own
    Named(named::Options),
    /// Plant bugs, one at a time, and see whether each is caught
    Planted(planted::Options),
    /// Judge the history of a run again
    Check {
        /// The run's folder
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Quick(options) => attack(run::quick(&options), &options),
        Command::Random(options) => attack(run::random(&options), &options),
        Command::Named(options) => good(named::named(&options)),
        Command::Planted(options) => good(planted::planted(&options)),
        Command::Check { folder } => ended(check(&folder)),
    }
}

fn ended(verdict: Result<Verdict>) -> ExitCode {
    match verdict.map(|verdict| verdict.outcome()) {
        Ok(Outcome::Pass) => ExitCode::SUCCESS,
        Ok(Outcome::Fail) => ExitCode::from(1),
        Ok(Outcome::Inconclusive) => ExitCode::from(3),
        Err(error) => {
            eprintln!("comanda-trials: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn good(outcome: Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("comanda-trials: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn check(folder: &Path) -> Result<Verdict> {
    let report = Report::of(folder)?;
    println!("{}", report.write(folder, &format!("comanda-trials check {}", folder.display()))?);
    Ok(report.verdict)
}

fn attack(scenario: Result<Scenario>, options: &Options) -> ExitCode {
    match scenario {
        Ok(scenario) => ended(run_and_judge(&scenario, options)),
        Err(error) => {
            eprintln!("comanda-trials: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run_and_judge(scenario: &Scenario, options: &Options) -> Result<Verdict> {
    let output = options.output.join(format!("{}-{}", scenario.name, scenario.seed));
    make_room(&output)?;
    let folder = Folder::create()?;
    eprintln!("again: {}\nlogs and data: {}", scenario.replay, folder.path().display());
    let lasted = last(scenario, &folder, &output);
    if lasted.is_err() {
        folder.keep()?;
    }
    lasted.with_context(|| format!("the run failed; its logs are in {}", folder.path().display()))?;
    let report = Report::of(&output)?;
    println!("{}", report.write(&output, &scenario.replay)?);
    if let Some(page) = &options.results {
        report::add(page, &report.run, &report.verdict)?;
    }
    clear_up(&report.verdict, options, &folder, &output)?;
    Ok(report.verdict)
}

#[tokio::main]
async fn last(scenario: &Scenario, folder: &Folder, output: &Path) -> Result<()> {
    tokio::select! {
        ended = run::run(scenario, folder, output) => ended,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

/// A run with the same seed before this one left the same files.
fn make_room(output: &Path) -> Result<()> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}; choose another --output", output.display()))?;
    for file in [HISTORY, DUMP] {
        if output.join(file).exists() {
            fs::remove_file(output.join(file))?;
        }
    }
    Ok(())
}

/// Keeps what may be looked at, and only that.
fn clear_up(verdict: &Verdict, options: &Options, folder: &Folder, output: &Path) -> Result<()> {
    if options.keep || verdict.outcome() == Outcome::Fail {
        folder.keep()?;
        eprintln!("history: {}, logs and data: {}", output.display(), folder.path().display());
        return Ok(());
    }
    eprintln!("report: {}", output.display());
    make_room(output)
}
