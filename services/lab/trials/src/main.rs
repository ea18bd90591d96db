//! `comanda-trials`: attacks a running Comanda and has what happened judged.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use comanda_checker::Outcome;
use comanda_kit::settings;
use comanda_trials::{
    attempt::Attempt,
    hostile, named, planted,
    report::{self, Report},
    run::{self, Options, Scenario},
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
  comanda-trials random --runs 10 --seed 100    a night; with --results the same command goes on where it ended
  comanda-trials quick --only 'postgres'        only faults of Postgres and of links to it
  comanda-trials quick --seed 7                 the same faults at the same times as another run with seed 7
  comanda-trials named list                     trials that are always the same
  comanda-trials named kafka-away --scale 0.2   one of them, shortened
  comanda-trials upgrade --old ./comanda-1.2    from an older program to this one, under load
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
    /// A minute without faults: nothing may be repaired, repeated or refused
    Calm(Options),
    /// Trials that are always the same, each with goals of its own
    Named(named::Options),
    /// Old and new program side by side, through a migration under load
    Upgrade(named::How),
    /// Plant bugs, one at a time, and see whether each is caught
    Planted(planted::Options),
    /// Clients that mean harm, against each role
    Hostile(hostile::Options),
    /// Judge the history of a run again
    Check {
        /// The run's folder
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    match settings::parse::<Cli>().command {
        Command::Quick(options) => attack(run::quick, &options),
        Command::Random(options) => attack(run::random, &options),
        Command::Calm(options) => attack(run::calm, &options),
        Command::Named(options) => ended(named::named(&options)),
        Command::Upgrade(how) => ended(named::named(&named::Options { names: vec!["upgrade".into()], how })),
        Command::Planted(options) => good(planted::planted(&options)),
        Command::Hostile(options) => good(hostile::hostile(&options)),
        Command::Check { folder } => ended(check(&folder)),
    }
}

fn ended(outcome: Result<Outcome>) -> ExitCode {
    match outcome {
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

fn check(folder: &Path) -> Result<Outcome> {
    let report = Report::of(folder)?;
    println!("{}", report.write(folder, &format!("comanda-trials check {}", folder.display()))?);
    Ok(report.verdict.outcome())
}

/// Each seed in its turn, until a run is not passed.
fn attack(make: fn(&Options, u64) -> Result<Scenario>, options: &Options) -> ExitCode {
    for seed in options.seeds() {
        let scenario = match make(options, seed) {
            Ok(scenario) => scenario,
            Err(error) => {
                eprintln!("comanda-trials: {error:#}");
                return ExitCode::from(2);
            }
        };
        let code = ended(run_and_judge(&scenario, options));
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    ExitCode::SUCCESS
}

fn run_and_judge(scenario: &Scenario, options: &Options) -> Result<Outcome> {
    if let Some(page) = &options.results
        && report::has_passed(page, &scenario.run())?
    {
        eprintln!("{} {} was passed already, says {}", scenario.name, scenario.seed, page.display());
        return Ok(Outcome::Pass);
    }
    let output = options.output.join(format!("{}-{}", scenario.name, scenario.seed));
    let attempt = Attempt::make(scenario, output, async |_| Ok(()))?;
    println!("{}", attempt.table);
    let Report { run, verdict, .. } = &attempt.report;
    let outcome = verdict.outcome();
    if let Some(page) = &options.results {
        report::add(page, run, verdict)?;
    }
    attempt.end(options.keep || outcome == Outcome::Fail)?;
    Ok(outcome)
}
