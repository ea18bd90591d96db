//! `overload`: more orders than can be taken. First a closed loop finds how many can; then they come at a multiple of that, whatever
//! the answers. What is taken should stay near the maximum, what is refused should be refused at once, and memory should stay.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use indicatif::ProgressBar;
use tokio::task::{JoinHandle, spawn_blocking};

use super::accept::{To, create};
use crate::{
    clients::Connections,
    cost::{Meter, rss_bytes},
    gauges,
    generator::{Outcomes, Pace, Until},
    report::{Better, Run},
    stage::{Cast, Stage, StageArgs},
    truth::Expected,
    workloads::{REST_MS, begin, conclude, note_calls, observed, progress},
};

const WARM_UP: u64 = 5000;
/// Orders a second of the client beside the flood: too few to matter.
const BESIDE: Pace = Pace::Open { rate: 50.0 };
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Settings of `overload`.
#[derive(Args, Clone, Debug)]
pub struct OverloadArgs {
    /// How many times as many orders come as can be taken; several one after the other, as 2,5.
    #[arg(long, value_delimiter = ',', default_values_t = [2.0, 5.0])]
    pub factor: Vec<f64>,
    /// How long the maximum is looked for, and how long each overload lasts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Clients of the closed loops that find the maximum, which is that of the best of them.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256])]
    pub clients: Vec<usize>,
    /// Connections. A server lets 256 calls in over each, and up to 20,000 calls are open: with fewer than 80 connections they wait
    /// here, where nobody refuses them.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub connections: u64,
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &OverloadArgs, repeat: u32) -> Result<Run> {
    let factors: Vec<String> = args.factor.iter().map(|factor| format!("{factor}x")).collect();
    let mut run = begin("overload", &factors.join(", "), repeat);
    let bar = progress(&run);
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    stage.start(&Cast { step_ms: Some(REST_MS), ..Cast::default() }).await?;
    let to = To::Grpc(stage.connect("ordering", args.connections as usize).await?);

    bar.set_message("warming up");
    let warm = create(&to, Pace::Closed { clients: 16 }, Until::Count(WARM_UP), false, &bar).await;
    let meter = Meter::read(&stage).await?;
    let work = async {
        let mut found = Run::default();
        let outcomes = all(&stage, args, &to, &bar, &mut found).await?;
        Ok((found, outcomes))
    };
    let (found, outcomes) = observed(&stage, &mut run, work).await?;
    run.figures = found.figures;
    run.latencies = found.latencies;
    bar.set_message("waiting until everything is told");
    let all: Vec<&Outcomes> = std::iter::once(&warm).chain(&outcomes).collect();
    gauges::told(&stage.sql, all.iter().map(|outcomes| outcomes.done()).sum()).await?;
    meter.spent(&stage, &mut run).await?;

    bar.set_message("checking");
    conclude(stage, Expected { versions: 1, ..Expected::default() }, &all, &mut run).await?;
    bar.finish_and_clear();
    Ok(run)
}

async fn all(stage: &Stage, args: &OverloadArgs, to: &To, bar: &ProgressBar, run: &mut Run) -> Result<Vec<Outcomes>> {
    let (until, mut outcomes) = (Until::Elapsed(Duration::from_secs(args.seconds)), Vec::new());
    for &clients in &args.clients {
        outcomes.push(create(to, Pace::Closed { clients }, until, false, bar).await);
    }
    let most = outcomes.iter().map(Outcomes::per_second).fold(0.0, f64::max);
    ensure!(most > 0.0, "no order is taken at all");
    run.figure("orders accepted/s, best closed loop", "1/s", most, Better::Higher);
    let before = rss_bytes(stage, "ordering")? as f64;
    run.figure("RSS of ordering before", "MiB", before / MEBIBYTE, Better::Neither);
    for factor in &args.factor {
        let beside = client_beside(stage, until)?;
        let open = create(to, Pace::Open { rate: most * factor }, until, false, bar).await;
        let beside = beside.await??;
        note(&open, *factor, most, run);
        note_beside(&beside, *factor, run);
        let after = rss_bytes(stage, "ordering")? as f64;
        run.figure(&format!("RSS of ordering after {factor}x"), "MiB", after / MEBIBYTE, Better::Lower);
        outcomes.extend([open, beside]);
    }
    Ok(outcomes)
}

/// A client that takes no part in the flood: a thread, a runtime and a connection of its own. Its times are those of ordering and of a busy
/// machine, without the calls and answers that wait inside the generator.
fn client_beside(stage: &Stage, until: Until) -> Result<JoinHandle<Result<Outcomes>>> {
    let (address, security) = (stage.address("ordering")?, stage.security().clone());
    Ok(spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let to = To::Grpc(Connections::secured(address, 1, &security).await?);
            Ok(create(&to, BESIDE, until, false, &ProgressBar::hidden()).await)
        })
    }))
}

fn note(open: &Outcomes, factor: f64, most: f64, run: &mut Run) {
    let goodput = open.per_second() / most;
    run.figure(&format!("goodput at {factor}x / maximum"), "x", goodput, Better::Higher);
    let refusals = open.tally.refusal.latency(&format!("refusal at {factor}x"));
    let mut calls = Run::default();
    note_calls(open, &format!("orders accepted at {factor}x"), &mut calls);
    run.figures.extend(calls.figures);
    // The refusals are noted below, under a name that tells the factor.
    run.latencies.extend(calls.latencies.into_iter().filter(|latency| latency.name != "refusals"));
    if refusals.count > 0 {
        run.timing(refusals);
    }
}

/// What it saw: orders that were taken, and refusals, each by itself.
fn note_beside(beside: &Outcomes, factor: f64, run: &mut Run) {
    let tally = &beside.tally;
    for (recorder, what) in [(&tally.latency, "order accepted"), (&tally.refusal, "refusal")] {
        let latency = recorder.latency(&format!("{what} at {factor}x, of a client beside the flood"));
        if latency.count > 0 {
            run.timing(latency);
        }
    }
}
