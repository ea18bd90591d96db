//! `timers`: what pending timers cost while they wait, how long a start takes with them, and how late they fire. The orders are loaded
//! into the tables directly, as if they had been received.

mod fire;

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use crate::{
    cost::{Meter, cpu_seconds},
    preload,
    report::{Better, Run},
    stage::{Stage, StageArgs},
    truth,
    workloads::{REST_MS, begin, observed, progress},
};

const IDLE: Duration = Duration::from_secs(10);

/// Settings of `timers`.
#[derive(Args, Clone, Debug)]
pub struct TimersArgs {
    /// Timers that wait, spread over the hour from an hour from now on.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1..))]
    pub pending: i64,
    /// How many of them come due each second, while lateness is measured.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(i64).range(1..))]
    pub rate: i64,
    /// For how many seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..))]
    pub seconds: i64,
    /// How many come due at one instant, after that.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(1..))]
    pub burst: i64,
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &TimersArgs, repeat: u32) -> Result<Run> {
    let needed = args.rate * args.seconds + args.burst;
    anyhow::ensure!(needed <= args.pending, "{needed} timers are to fire, but only {} are pending", args.pending);
    let mut run = begin("timers", &format!("{} pending, {}/s", args.pending, args.rate), repeat);
    let bar = progress(&run);
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    start(&mut stage).await?;
    bar.set_message("loading orders");
    preload::pending(&stage.sql, args.pending).await?;
    bar.set_message("starting again");
    stage.stop_role("state-machine").await?;
    let started = Instant::now();
    start(&mut stage).await?;
    run.figure("restart until SERVING", "s", started.elapsed().as_secs_f64(), Better::Lower);
    let meter = Meter::read(&stage).await?;
    let found = observed(&stage, &mut run, measure(&stage, args, &bar)).await?;
    run.figures.extend(found.figures);
    run.latencies = found.latencies;
    meter.spent(&stage, &mut run).await?;
    bar.set_message("checking");
    run.checks.extend(truth::check_loaded(&stage, args.pending, needed).await?);
    stage.clear().await?;
    bar.finish_and_clear();
    Ok(run)
}

/// After the one step that is measured no further one comes.
async fn start(stage: &mut Stage) -> Result<()> {
    stage.start_role("state-machine", &[("COMANDA_STEP_MS", REST_MS.to_string())]).await
}

async fn measure(stage: &Stage, args: &TimersArgs, bar: &ProgressBar) -> Result<Run> {
    let mut found = Run::default();
    bar.set_message("waiting, to see what waiting costs");
    idle(stage, &mut found).await?;
    bar.set_message("firing at a rate");
    fire::at_rate(&stage.sql, args, &mut found).await?;
    bar.set_message("firing at one instant");
    fire::at_once(&stage.sql, args.burst, &mut found).await?;
    Ok(found)
}

/// Processor time while nothing is due. The time is what is measured, so it is slept through.
async fn idle(stage: &Stage, run: &mut Run) -> Result<()> {
    let (before, started) = (cpu_seconds(stage, "state-machine")?, Instant::now());
    sleep(IDLE).await;
    let used = (cpu_seconds(stage, "state-machine")? - before) / started.elapsed().as_secs_f64();
    run.figure("idle processor time of state-machine", "% of a core", used * 100.0, Better::Lower);
    Ok(())
}
