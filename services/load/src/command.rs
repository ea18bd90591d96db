//! The command line.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::{
    compare::{self, CompareArgs},
    environment,
    page::page,
    report::{Report, Run},
    stage::{StageArgs, server},
    workloads::{accept, experiment, growth, lives, mail, overload, probes, timers, watch},
};

/// `comanda load`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each run starts the three roles as processes of their own, on a database and topics of its own, on the given Postgres and Kafka
(scripts/postgres start, scripts/kafka start), and ends with a check of what became of every order. A run whose check
fails is void. What was found goes to the output folder, as report.json and as report.html for people.

Examples:
  comanda load lives
  comanda load accept --rate 2000 --seconds 60 --repeats 5
  comanda load compare before/report.json after/report.json")]
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
    /// How long few orders take, over counts of orders, state machines and partitions; or what another system loses.
    Experiment(Measured<experiment::ExperimentArgs>),
    /// Compare two reports, run by run.
    Compare(CompareArgs),
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

/// Runs it.
pub async fn run(args: LoadArgs) -> Result<()> {
    match args.command {
        Command::Accept(args) => {
            measure("accept", &args.stage, &args.output, async |n| accept::run(&args.stage, &args.workload, n).await)
                .await
        }
        Command::Lives(args) => {
            measure("lives", &args.stage, &args.output, async |n| lives::run(&args.stage, &args.workload, n).await)
                .await
        }
        Command::Mail(args) => {
            measure("mail", &args.stage, &args.output, async |n| mail::run(&args.stage, &args.workload, n).await).await
        }
        Command::Probes(args) => {
            measure("probes", &args.stage, &args.output, async |n| probes::run(&args.stage, &args.workload, n).await)
                .await
        }
        Command::Watch(args) => {
            measure("watch", &args.stage, &args.output, async |n| watch::run(&args.stage, &args.workload, n).await)
                .await
        }
        Command::Overload(args) => {
            measure("overload", &args.stage, &args.output, async |n| {
                overload::run(&args.stage, &args.workload, n).await
            })
            .await
        }
        Command::Timers(args) => {
            measure("timers", &args.stage, &args.output, async |n| timers::run(&args.stage, &args.workload, n).await)
                .await
        }
        Command::Growth(args) => {
            measure("growth", &args.stage, &args.output, async |n| growth::run(&args.stage, &args.workload, n).await)
                .await
        }
        Command::Experiment(args) => experiment(&args).await,
        Command::Compare(args) => compare::run(args),
        Command::Page { report } => write_page(&Report::read(&report)?, &report.with_extension("html")),
    }
}

/// Beside the report it leaves a picture, experiment.svg.
async fn experiment(args: &Measured<experiment::ExperimentArgs>) -> Result<()> {
    let (stage, workload) = (&args.stage, &args.workload);
    measure("experiment", stage, &args.output, async |n| experiment::run(stage, workload, n).await).await?;
    let folder = &args.output.output;
    if let Some(picture) = experiment::draw(&Report::read(&folder.join("report.json"))?, workload) {
        std::fs::write(folder.join("experiment.svg"), picture)?;
    }
    Ok(())
}

/// Repeats a workload, storing what is known after each run.
async fn measure(
    title: &str,
    stage: &StageArgs,
    output: &OutputArgs,
    workload: impl AsyncFn(u32) -> Result<Run>,
) -> Result<()> {
    let mut report = Report { title: title.into(), ..Report::default() };
    report.environment = describe(stage).await?;
    std::fs::create_dir_all(&output.output)?;
    for repeat in 1..=output.repeats {
        let run = workload(repeat).await?;
        tell(&run);
        report.runs.push(run);
        store(&report, output)?;
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
