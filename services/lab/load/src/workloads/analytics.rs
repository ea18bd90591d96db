//! `analytics`: how many transitions a second are counted, how long a report over a year takes, and how long a rebuild takes.

mod events;
mod fold;
mod rebuild;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    report::Run,
    stage::{Stage, StageArgs},
    workloads::{begin, progress},
};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A year of transitions that lie on the topic already; then each report over that year.
    Fold,
    /// `comanda stats rebuild` over orders that are in the tables.
    Rebuild,
}

/// Settings of `analytics`.
#[derive(Args, Clone, Debug)]
pub struct AnalyticsArgs {
    /// What is measured.
    #[arg(long, value_enum, default_value = "fold")]
    pub kind: Kind,
    /// Orders, of four transitions each.
    #[arg(long, default_value_t = 250_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: u64,
    /// How often each report is asked for.
    #[arg(long, default_value_t = 50)]
    pub reports: u32,
}

impl AnalyticsArgs {
    fn variant(&self) -> String {
        let kind = self.kind.to_possible_value().map(|kind| kind.get_name().to_owned()).unwrap_or_default();
        format!("{kind}, {} orders", self.orders)
    }
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &AnalyticsArgs, repeat: u32) -> Result<Run> {
    let mut run = begin("analytics", &args.variant(), repeat);
    let bar = progress(&run);
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    match args.kind {
        Kind::Fold => fold::measure(&mut stage, args, &bar, &mut run).await?,
        Kind::Rebuild => rebuild::measure(&mut stage, args, &bar, &mut run).await?,
    }
    stage.clear().await?;
    bar.finish_and_clear();
    Ok(run)
}
