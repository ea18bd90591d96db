//! `watch`: what streams cost and how fast they are. The orders rest, for their timers are an hour, until a measurement moves them.

mod fan_out;
mod idle;
mod many;
mod receipts;
mod streams;

use anyhow::Result;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use tokio::sync::Mutex;

use crate::{
    clients::CONNECTIONS,
    gauges,
    generator::{self, Outcome, Outcomes, Pace, Until},
    orders::order,
    report::Run,
    stage::{Stage, StageArgs},
    truth::Expected,
    workloads::{REST_MS, begin, conclude, observed, progress},
};

/// What is watched, and what happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Streams on which nothing happens, each on an order of its own: the memory of each.
    Idle,
    /// All streams on one order, which is advanced: how long until the last has seen it.
    FanOut,
    /// Each stream on an order of its own, and all orders move once.
    Many,
    /// The same twice, the second time beside readers that take nothing: 1 % more streams, each on all orders.
    Stalled,
}

/// Settings of `watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// What is watched, and what happens meanwhile.
    #[arg(long, value_enum, default_value = "many")]
    pub kind: Kind,
    /// Streams of `idle`, `many` and `stalled`.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub streams: u64,
    /// Streams of `fan-out`.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    pub watchers: u64,
    /// Streams that share a connection: 1 as with people's devices, 100 as behind a gateway.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=200))]
    pub per_connection: u64,
    /// Over how long the moves of `many` and `stalled` are spread, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    pub spread_ms: u64,
}

impl WatchArgs {
    fn streams(&self) -> u64 {
        if self.kind == Kind::FanOut { self.watchers } else { self.streams }
    }

    fn variant(&self) -> String {
        let kind = self.kind.to_possible_value().map(|kind| kind.get_name().to_owned()).unwrap_or_default();
        format!("{kind}, {} streams, {} a connection", self.streams(), self.per_connection)
    }

    fn connections(&self) -> u64 {
        self.streams().div_ceil(self.per_connection)
    }
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &WatchArgs, repeat: u32) -> Result<Run> {
    let stalled = if args.kind == Kind::Stalled { many::stalled(args) } else { 0 };
    streams::enough_files(args.connections() + stalled)?;
    let mut run = begin("watch", &args.variant(), repeat);
    let bar = progress(&run);
    let stage = stage(stage_args, args, stalled).await?;
    bar.set_message("placing orders");
    let orders = if args.kind == Kind::FanOut { 1 } else { args.streams };
    let (placed, ids) = place(&stage, orders, &bar).await?;
    let found = observed(&stage, &mut run, measure(&stage, args, &ids, &bar)).await?;
    run.figures = found.figures;
    run.latencies = found.latencies;
    run.costs = found.costs;
    run.checks.extend(found.checks);
    bar.set_message("checking");
    let versions = match args.kind {
        Kind::Idle => 1,
        Kind::Many => 2,
        Kind::FanOut | Kind::Stalled => 4,
    };
    gauges::told(&stage.sql, placed.done()).await?;
    conclude(stage, Expected { versions, ..Expected::default() }, &[&placed], &mut run).await?;
    bar.finish_and_clear();
    Ok(run)
}

async fn measure(stage: &Stage, args: &WatchArgs, ids: &[String], bar: &ProgressBar) -> Result<Run> {
    let mut found = Run::default();
    match args.kind {
        Kind::Idle => idle::measure(stage, args, ids, bar, &mut found).await?,
        Kind::FanOut => fan_out::measure(stage, args, ids, bar, &mut found).await?,
        Kind::Many => many::measure(stage, args, ids, bar, &mut found).await?,
        Kind::Stalled => many::measure_stalled(stage, args, ids, bar, &mut found).await?,
    }
    Ok(found)
}

/// The roles, with room for all streams.
async fn stage(stage_args: &StageArgs, args: &WatchArgs, stalled: u64) -> Result<Stage> {
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    stage.start_role("ordering", &[]).await?;
    stage.start_role("state-machine", &[("COMANDA_STEP_MS", REST_MS.to_string())]).await?;
    let settings = [
        ("COMANDA_NO_MAILS", "true".into()),
        ("COMANDA_MAX_CONNECTIONS", (args.connections() + stalled + 100).to_string()),
        ("COMANDA_MAX_WATCHES", (args.streams() + 100).to_string()),
    ];
    stage.start_role("notification", &settings).await?;
    Ok(stage)
}

/// Creates orders, waits until all are adopted and told, and says which they are.
async fn place(stage: &Stage, orders: u64, bar: &ProgressBar) -> Result<(Outcomes, Vec<String>)> {
    let connections = stage.connect("ordering", CONNECTIONS).await?;
    let ids = std::sync::Arc::new(Mutex::new(Vec::new()));
    let kept = ids.clone();
    let outcomes = generator::run(Pace::Closed { clients: 64 }, Until::Count(orders), bar, move |n| {
        let (connections, kept) = (connections.clone(), kept.clone());
        async move {
            let (outcome, id) = connections.create(n, order(n, false)).await;
            kept.lock().await.extend(id.filter(|_| outcome == Outcome::Done));
            outcome
        }
    })
    .await;
    gauges::told(&stage.sql, outcomes.done()).await?;
    let ids = std::mem::take(&mut *ids.lock().await);
    anyhow::ensure!(ids.len() as u64 == orders, "only {} of {orders} orders could be placed", ids.len());
    Ok((outcomes, ids))
}
