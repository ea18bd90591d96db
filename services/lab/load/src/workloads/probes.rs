//! `probes`: the limits of the machine that the other workloads run on, each for a few seconds, one after the other. The mail server's
//! limit is measured with the mails.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;

use crate::{
    probes::{disk, echo, kafka, pgbench, push, rows},
    report::Run,
    stage::{Stage, StageArgs},
    truth::Expected,
    workloads::{begin, conclude, observed, progress},
};

/// Streams of the bare server that pushes, as many as `watch --kind fan-out` opens by default, and on as many connections.
const WATCHERS: u64 = 5000;
const PER_CONNECTION: u64 = 100;

/// Settings of `probes`.
#[derive(Args, Clone, Debug)]
pub struct ProbesArgs {
    /// How long each probe measures.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// A folder on the disk of Postgres' data, to measure how often a second that disk makes a page durable.
    #[arg(long, default_value = "/var/tmp")]
    pub disk_folder: PathBuf,
}

/// Runs each once.
pub async fn run(stage_args: &StageArgs, args: &ProbesArgs, repeat: u32) -> Result<Run> {
    let mut run = begin("probes", &format!("{} s each", args.seconds), repeat);
    let bar = progress(&run);
    let stage = Stage::set(stage_args, stage_args.partitions).await?;
    let found = observed(&stage, &mut run, all(&stage, args, &bar)).await?;
    run.figures = found.figures;
    run.latencies = found.latencies;
    conclude(stage, Expected::default(), &[], &mut run).await?;
    bar.finish_and_clear();
    Ok(run)
}

async fn all(stage: &Stage, args: &ProbesArgs, bar: &ProgressBar) -> Result<Run> {
    let (mut found, duration) = (Run::default(), Duration::from_secs(args.seconds));
    bar.set_message("disk");
    disk::fsync(&args.disk_folder, duration, &mut found).await?;
    bar.set_message("Postgres");
    pgbench::transactions(stage, duration, &mut found).await?;
    rows::batches(&stage.sql, duration, &mut found).await?;
    bar.set_message("Kafka");
    kafka::throughput(&stage.kafka, duration, &mut found).await?;
    bar.set_message("gRPC");
    echo::calls(duration, &mut found).await?;
    push::pushes(WATCHERS, PER_CONNECTION, duration, &mut found).await?;
    Ok(found)
}
