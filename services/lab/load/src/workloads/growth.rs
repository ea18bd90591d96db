//! `growth`: the lives of orders on tables that already hold many, beside the same on empty ones. Orders are kept for ever, so what they
//! cost later must not grow with them.

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;

use super::lives::{self, LivesArgs};
use crate::{
    preload,
    report::{Better, Run},
    stage::{Stage, StageArgs},
    workloads::{begin, progress},
};

const RATE: &str = "lives/s";
const SLOW: &str = "orders accepted p99";

/// Settings of `growth`.
#[derive(Args, Clone, Debug)]
pub struct GrowthArgs {
    /// Orders that were delivered before, with all their transitions, written straight into the tables.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1..))]
    pub preloaded: i64,
    #[command(flatten)]
    lives: LivesArgs,
}

/// Runs both once.
pub async fn run(stage_args: &StageArgs, args: &GrowthArgs, repeat: u32) -> Result<Run> {
    let mut run = begin("growth", &format!("{} preloaded", args.preloaded), repeat);
    let bar = progress(&run);
    let empty = on_top_of(0, stage_args, args, &bar).await?;
    let full = on_top_of(args.preloaded, stage_args, args, &bar).await?;
    ratio(&empty, &full, RATE, Better::Higher, &mut run);
    ratio(&empty, &full, SLOW, Better::Lower, &mut run);
    merge(empty, "on empty tables", &mut run);
    run.costs = full.costs.clone();
    merge(full, &format!("on {} orders", args.preloaded), &mut run);
    bar.finish_and_clear();
    Ok(run)
}

async fn on_top_of(preloaded: i64, stage_args: &StageArgs, args: &GrowthArgs, bar: &ProgressBar) -> Result<Run> {
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    stage.start(&args.lives.cast()).await?;
    if preloaded > 0 {
        bar.set_message("loading orders");
        preload::delivered(&stage.sql, preloaded).await?;
    }
    let mut found = Run::default();
    lives::measure(stage, &args.lives, preloaded.unsigned_abs(), bar, &mut found).await?;
    Ok(found)
}

/// A figure on full tables as a multiple of the same on empty ones.
fn ratio(empty: &Run, full: &Run, name: &str, better: Better, run: &mut Run) {
    if let (Some(empty), Some(full)) = (empty.value(name), full.value(name)) {
        run.figure(&format!("{name}, full / empty"), "x", full / empty, better);
    }
}

/// Takes over what was found, under names that tell where.
fn merge(found: Run, place: &str, run: &mut Run) {
    for figure in found.figures {
        run.figure(&format!("{} {place}", figure.name), &figure.unit, figure.value, figure.better);
    }
    for mut latency in found.latencies {
        latency.name = format!("{} {place}", latency.name);
        run.latencies.push(latency);
    }
    for mut check in found.checks {
        check.name = format!("{} {place}", check.name);
        run.checks.push(check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_on_either_side_voids_the_run() {
        let (mut empty, mut full, mut run) = (Run::default(), Run::default(), Run::default());
        empty.figure(RATE, "1/s", 1000.0, Better::Higher);
        full.figure(RATE, "1/s", 900.0, Better::Higher);
        empty.check("all orders arrive", false, "");
        ratio(&empty, &full, RATE, Better::Higher, &mut run);
        ratio(&empty, &full, SLOW, Better::Lower, &mut run);
        merge(empty, "on empty tables", &mut run);
        merge(full, "on 5 orders", &mut run);
        assert_eq!(run.value("lives/s, full / empty"), Some(0.9));
        assert_eq!(run.value("lives/s on 5 orders"), Some(900.0));
        assert!(!run.is_valid() && run.figures.len() == 3);
    }
}
