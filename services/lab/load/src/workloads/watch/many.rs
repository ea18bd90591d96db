//! Each watcher on an order of its own, and all orders move.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::Result;
use indicatif::ProgressBar;

use super::{
    WatchArgs,
    streams::{Streams, open_stalled},
};
use crate::{
    cost::Meter,
    report::{Better, Latency, Run},
    stage::Stage,
};

/// How long from now the first order moves.
const LEAD: Duration = Duration::from_millis(500);

pub(super) async fn measure(
    stage: &Stage,
    args: &WatchArgs,
    ids: &[String],
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<()> {
    bar.set_message("opening streams");
    let streams = Streams::open(stage.address("notification")?, ids, args.per_connection).await?;
    let meter = Meter::read(stage).await?;
    bar.set_message("moving orders");
    let latency = round(stage, args, &streams, 1, "transition -> watcher").await?;
    run.timing(latency);
    meter.note(stage, args.streams, run).await?;
    check(&streams, args.streams, run);
    Ok(())
}

/// The same without and with readers that take nothing.
pub(super) async fn measure_stalled(
    stage: &Stage,
    args: &WatchArgs,
    ids: &[String],
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<()> {
    bar.set_message("opening streams");
    let address = stage.address("notification")?;
    let streams = Streams::open(address, ids, args.per_connection).await?;
    let meter = Meter::read(stage).await?;
    bar.set_message("moving orders");
    // The first round finds everything cold, and would flatter the last.
    round(stage, args, &streams, 1, "").await?;
    let alone = round(stage, args, &streams, 2, "transition -> watcher, all read").await?;
    bar.set_message("moving orders beside stalled readers");
    let stalled = open_stalled(address, stalled(args)).await?;
    let beside = round(stage, args, &streams, 3, "transition -> watcher, others stall").await?;
    let ratio = beside.at(99.0).unwrap_or(f64::NAN) / alone.at(99.0).unwrap_or(f64::NAN);
    run.figure("p99 beside stalled readers / alone", "x", ratio, Better::Lower);
    run.timing(alone);
    run.timing(beside);
    run.figure("stalled readers", "", stalled.len() as f64, Better::Neither);
    meter.spent(stage, run).await?;
    check(&streams, 3 * args.streams, run);
    Ok(())
}

/// How many readers take nothing.
pub(super) fn stalled(args: &WatchArgs) -> u64 {
    args.streams.div_ceil(100)
}

/// Makes every order due, spread over a time, and waits until every watcher has seen it move.
async fn round(stage: &Stage, args: &WatchArgs, streams: &Streams, round: u64, name: &str) -> Result<Latency> {
    let due = "UPDATE state_machine.states
               SET due_at = clock_timestamp() + make_interval(secs => $1 + random() * $2) WHERE due_at IS NOT NULL";
    let spread_seconds = Duration::from_millis(args.spread_ms).as_secs_f64();
    sqlx::query(due).bind(LEAD.as_secs_f64()).bind(spread_seconds).execute(&stage.sql).await?;
    let receipts = &streams.receipts;
    receipts.reach("transitions that were seen", &receipts.seen, round * args.streams).await?;
    Ok(receipts.take_latency().latency(name))
}

fn check(streams: &Streams, expected: u64, run: &mut Run) {
    let (seen, broken) = (streams.receipts.seen.load(Relaxed), streams.receipts.broken.load(Relaxed));
    let detail = format!("{seen} of {expected}, {broken} streams broke");
    run.check("each watcher saw each transition once", seen == expected && broken == 0, detail);
}
