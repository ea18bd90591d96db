//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::{
    bench,
    city::{self, CityArgs},
    compare::{self, CompareArgs},
    environment,
    page::page,
    pairs::{self, PairsArgs},
    report::{Report, Run},
    stage::{StageArgs, server},
    workloads::{accept, analytics, dispatch, experiment, growth, lives, mail, overload, probes, timers, watch},
};

/// `comanda load`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each run starts the roles as processes of their own, on a database and topics of its own, on the given Postgres and Kafka
(scripts/postgres start, scripts/kafka start), and ends with a check of what became of every order. A run whose check
fails is void. What was found goes to the output folder, as report.json and as report.html for people.

Examples:
  comanda load lives
  comanda load accept --rate 2000 --seconds 60 --repeats 5
  comanda load compare before/report.json after/report.json
  comanda load pairs --before OLD/comanda --after NEW/comanda --pairs 5 -- lives --orders 30000 --clients 256")]
pub struct LoadArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// How many orders a second are taken.
    Accept(Measured<accept::AcceptArgs>),
    /// Whole lives of orders: created, moved, published, seen.
    Lives(Measured<lives::LivesArgs>),
    /// Whole lives with a mail for each transition.
    Mail(Measured<mail::MailArgs>),
    /// What each part of this machine can do at most, without Comanda.
    Probes(Measured<probes::ProbesArgs>),
    /// Streams: their memory, and how soon they tell what happened.
    Watch(Measured<watch::WatchArgs>),
    /// More orders than can be taken: what is taken, and how soon the others are refused.
    Overload(Measured<overload::OverloadArgs>),
    /// Many pending timers: what they cost while they wait, and how late they fire.
    Timers(Measured<timers::TimersArgs>),
    /// Whole lives on tables that are already full, beside the same on empty ones.
    Growth(Measured<growth::GrowthArgs>),
    /// Rides and couriers: how many are brought together, how soon, how near; and how many positions are taken.
    Dispatch(Measured<dispatch::DispatchArgs>),
    /// Reports: how fast transitions are counted, how long a report takes, and how long a rebuild takes.
    Analytics(Measured<analytics::AnalyticsArgs>),
    /// How long few orders take, over counts of orders, state machines and partitions; or what another system loses.
    Experiment(Measured<experiment::ExperimentArgs>),
    /// A small city on services that run already: couriers, and people who ask for rides.
    City(Box<CityArgs>),
    /// All of it, some minutes a round.
    Bench(Measured<bench::BenchArgs>),
    /// Compare two reports, run by run.
    Compare(CompareArgs),
    /// Run two programs in turn, and tell what changed from one to the other.
    Pairs(PairsArgs),
    /// Draw the page of a report again.
    Page {
        /// A report.json.
        report: PathBuf,
    },
}

/// What every measurement has.
#[derive(Args, Clone, Debug)]
struct Measured<A: Args> {
    #[command(flatten)]
    workload: A,
    #[command(flatten)]
    stage: StageArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How often, and where to.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// How often the workload is run.
    #[arg(long, default_value_t = 1)]
    pub repeats: u32,
    /// A folder for report.json and report.html.
    #[arg(long, default_value = "load-results")]
    pub output: PathBuf,
}

/// A command of `comanda load`, by itself.
#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Runs it.
pub async fn run(args: LoadArgs) -> Result<()> {
    match args.command {
        Command::Compare(args) => compare::run(args),
        Command::Pairs(args) => pairs::run(args).await,
        Command::City(args) => city::run(*args).await,
        Command::Page { report } => write_page(&Report::read(&report)?, &report.with_extension("html")),
        Command::Bench(args) => {
            let steps = args.workload.steps().map(|step| command(&step)).collect::<Result<Vec<_>>>()?;
            measure("bench", &steps, &args.stage, &args.output).await
        }
        Command::Experiment(args) => {
            let (workload, output) = (args.workload.clone(), args.output.clone());
            let (stage, command) = (args.stage.clone(), Command::Experiment(args));
            measure("experiment", &[command], &stage, &output).await?;
            draw_experiment(&workload, &output)
        }
        command => {
            let (title, stage, output) = command.terms().context("no workload")?;
            measure(title, std::slice::from_ref(&command), stage, output).await
        }
    }
}

/// What somebody would write behind `comanda load`.
fn command(line: &str) -> Result<Command> {
    Ok(Line::try_parse_from(std::iter::once("load").chain(line.split_whitespace()))?.command)
}

impl Command {
    /// Title, stage and output of one that measures.
    fn terms(&self) -> Option<(&'static str, &StageArgs, &OutputArgs)> {
        match self {
            Self::Accept(args) => Some(("accept", &args.stage, &args.output)),
            Self::Lives(args) => Some(("lives", &args.stage, &args.output)),
            Self::Mail(args) => Some(("mail", &args.stage, &args.output)),
            Self::Probes(args) => Some(("probes", &args.stage, &args.output)),
            Self::Watch(args) => Some(("watch", &args.stage, &args.output)),
            Self::Overload(args) => Some(("overload", &args.stage, &args.output)),
            Self::Timers(args) => Some(("timers", &args.stage, &args.output)),
            Self::Growth(args) => Some(("growth", &args.stage, &args.output)),
            Self::Dispatch(args) => Some(("dispatch", &args.stage, &args.output)),
            Self::Analytics(args) => Some(("analytics", &args.stage, &args.output)),
            Self::Experiment(args) => Some(("experiment", &args.stage, &args.output)),
            Self::Bench(_) | Self::City(_) | Self::Compare(_) | Self::Pairs(_) | Self::Page { .. } => None,
        }
    }

    /// Measures once.
    async fn once(&self, stage: &StageArgs, repeat: u32) -> Result<Run> {
        match self {
            Self::Accept(args) => accept::run(stage, &args.workload, repeat).await,
            Self::Lives(args) => lives::run(stage, &args.workload, repeat).await,
            Self::Mail(args) => mail::run(stage, &args.workload, repeat).await,
            Self::Probes(args) => probes::run(stage, &args.workload, repeat).await,
            Self::Watch(args) => watch::run(stage, &args.workload, repeat).await,
            Self::Overload(args) => overload::run(stage, &args.workload, repeat).await,
            Self::Timers(args) => timers::run(stage, &args.workload, repeat).await,
            Self::Growth(args) => growth::run(stage, &args.workload, repeat).await,
            Self::Dispatch(args) => dispatch::run(stage, &args.workload, repeat).await,
            Self::Analytics(args) => analytics::run(stage, &args.workload, repeat).await,
            Self::Experiment(args) => experiment::run(stage, &args.workload, repeat).await,
            Self::Bench(_) | Self::City(_) | Self::Compare(_) | Self::Pairs(_) | Self::Page { .. } => {
                bail!("no workload")
            }
        }
    }
}

/// Beside the report it leaves a picture, experiment.svg.
fn draw_experiment(workload: &experiment::ExperimentArgs, output: &OutputArgs) -> Result<()> {
    let report = Report::read(&output.output.join("report.json"))?;
    if let Some(picture) = experiment::draw(&report, workload) {
        std::fs::write(output.output.join("experiment.svg"), picture)?;
    }
    Ok(())
}

/// Repeats workloads, one after the other in each round, storing what is known after each run.
async fn measure(title: &str, commands: &[Command], stage: &StageArgs, output: &OutputArgs) -> Result<()> {
    let mut report = Report { title: title.into(), environment: describe(stage).await?, ..Report::default() };
    std::fs::create_dir_all(&output.output)?;
    for repeat in 1..=output.repeats {
        for command in commands {
            let run = command.once(stage, repeat).await?;
            tell(&run);
            report.runs.push(run);
            store(&report, output)?;
        }
    }
    if report.runs.iter().any(|run| !run.is_valid()) {
        bail!("a run is void: see the checks that failed above");
    }
    Ok(())
}

async fn describe(stage: &StageArgs) -> Result<Vec<(String, String)>> {
    environment::describe(&mut server(&stage.postgres.database_url).await?).await
}

/// Writes both files.
pub fn store(report: &Report, output: &OutputArgs) -> Result<()> {
    report.write(&output.output.join("report.json"))?;
    write_page(report, &output.output.join("report.html"))
}

fn write_page(report: &Report, path: &std::path::Path) -> Result<()> {
    std::fs::write(path, page(report))?;
    Ok(())
}

/// Says what a run found.
pub fn tell(run: &Run) {
    println!("{} ({}) #{}{}", run.workload, run.variant, run.repeat, if run.is_valid() { "" } else { "  VOID" });
    for figure in &run.figures {
        println!("  {:<44} {:>12.3} {}", figure.name, figure.value, figure.unit);
    }
    for cost in &run.costs {
        let mebibytes = cost.rss_bytes / (1024 * 1024);
        println!(
            "  {:<44} {:>12.3} CPU-s {mebibytes:>6} MiB {:>9} switches",
            cost.process, cost.cpu_seconds, cost.context_switches
        );
    }
    for check in run.checks.iter().filter(|check| !check.passed) {
        println!("  FAILED: {}: {}", check.name, check.detail);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn every_step_of_the_bench_is_a_workload() {
        for full in [false, true] {
            for step in (bench::BenchArgs { full, only: Vec::new() }).steps() {
                assert!(command(&step).expect("a command").terms().is_some(), "{step}");
            }
        }
        assert!(Line::try_parse_from(["load", "nonsense"]).is_err());
    }
}
