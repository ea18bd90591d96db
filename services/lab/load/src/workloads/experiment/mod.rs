//! `experiment`: how long a number of orders takes from the first call until the last is delivered, over counts of orders, of state
//! machines and of partitions. Or orders of a file, over gRPC and over HTTP. And the same calls to another system over HTTP, to count what
//! it loses.

mod beside;
mod http;
mod plot;
mod products;

pub use self::plot::draw;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use time::OffsetDateTime;
use tokio::time::Instant;

use self::products::Products;
use super::lives::{VERSIONS, live};
use crate::{
    clients::CONNECTIONS,
    gauges,
    generator::{Outcomes, Pace},
    report::{Better, Run},
    stage::{Cast, Stage, StageArgs},
    truth::Expected,
    workloads::{begin, conclude, observed, progress},
};

/// Settings of `experiment`.
#[derive(Args, Clone, Debug)]
pub struct ExperimentArgs {
    /// Counts of orders, one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 200, 500, 700, 1000], value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: Vec<u64>,
    /// Counts of state machines.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub state_machines: Vec<usize>,
    /// Partitions of each topic; `--partitions` does not count here.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    pub topic_partitions: Vec<i32>,
    /// Clients, each waiting for its answer before it sends the next order.
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Drive another system instead: POST URL/new_order {"name", "price"}, and GET URL/orders, which answers rows with a `status`.
    #[arg(long)]
    pub http: Option<String>,
    /// Order the rows of a CSV file, whose first line is `product_name,price`, over and over. Without --http over gRPC and over HTTP in turn,
    /// on roles that are started for it; state machines and partitions do not count then.
    #[arg(long)]
    pub products: Option<PathBuf>,
    /// The statuses with which an order of that system has ended.
    #[arg(long, value_delimiter = ',', default_values_t = ["finalizado".to_owned(), "entregado".to_owned()])]
    pub last_status: Vec<String>,
    /// How long nothing may change there before what has not ended counts as lost.
    #[arg(long, default_value_t = 60)]
    pub patience_seconds: u64,
}

impl ExperimentArgs {
    fn pace(&self) -> Pace {
        Pace::Closed { clients: self.clients }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_seconds)
    }
}

/// Runs every combination once.
pub async fn run(stage_args: &StageArgs, args: &ExperimentArgs, repeat: u32) -> Result<Run> {
    let file = args.products.as_deref().map(Products::read).transpose()?;
    let variant = match (&args.http, &file) {
        (Some(url), _) => format!("system at {url}"),
        (None, Some(_)) => "Comanda over gRPC and over HTTP, zero dwell".into(),
        (None, None) => "Comanda, zero dwell".into(),
    };
    let mut run = begin("experiment", &variant, repeat);
    let bar = progress(&run);
    match (&args.http, file) {
        (Some(url), file) => {
            http::measure(url, args, &file.unwrap_or_else(Products::made_up), &bar, &mut run).await?;
        }
        (None, Some(products)) => beside::measure(stage_args, args, &products, &bar, &mut run).await?,
        (None, None) => combinations(stage_args, args, &bar, &mut run).await?,
    }
    bar.finish_and_clear();
    Ok(run)
}

async fn combinations(stage_args: &StageArgs, args: &ExperimentArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    for &state_machines in &args.state_machines {
        for &partitions in &args.topic_partitions {
            combination(stage_args, args, (state_machines, partitions), bar, run).await?;
        }
    }
    Ok(())
}

async fn combination(
    stage_args: &StageArgs,
    args: &ExperimentArgs,
    (state_machines, partitions): (usize, i32),
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<()> {
    let line = line(state_machines, partitions);
    let mut stage = Stage::set(stage_args, partitions).await?;
    stage.start(&Cast { state_machines, step_ms: Some(0), ..Cast::default() }).await?;
    let connections = stage.connect("ordering", CONNECTIONS).await?;
    let mut found = Run::default();
    let counts = async {
        // The first order of all finds everything cold.
        let mut all = vec![live(&connections, args.pace(), 64, false, None, bar).await];
        gauges::drained(&stage.sql, all[0].done()).await?;
        for &orders in &args.orders {
            let before = all.iter().map(Outcomes::done).sum();
            let sending = live(&connections, args.pace(), orders, false, None, bar);
            let (outcomes, seconds) = delivered_since(&stage, before, sending).await?;
            found.figure(&name(orders, &line), "s", seconds, Better::Lower);
            all.push(outcomes);
        }
        Ok(all)
    };
    let mut checked = Run::default();
    let outcomes = observed(&stage, &mut checked, counts).await?;
    let expected = Expected { versions: VERSIONS, ..Expected::default() };
    conclude(stage, expected, &outcomes.iter().collect::<Vec<_>>(), &mut checked).await?;
    run.figures.extend(found.figures);
    for check in checked.checks {
        run.check(&format!("{}, {line}", check.name), check.passed, check.detail);
    }
    Ok(())
}

/// Seconds from the first call of `sending` until the last order's last transition, by the database's record of it. `before` orders had
/// ended before.
async fn delivered_since(
    stage: &Stage,
    before: u64,
    sending: impl Future<Output = Outcomes>,
) -> Result<(Outcomes, f64)> {
    let (started, clock) = (OffsetDateTime::now_utc(), Instant::now());
    let outcomes = sending.await;
    gauges::drained(&stage.sql, before + outcomes.done()).await?;
    let last = sqlx::query_scalar("SELECT max(status_time) FROM state_machine.states");
    let last: OffsetDateTime = last.fetch_one(&stage.sql).await?;
    // A database on another machine has another clock: it cannot have been later than now.
    let seconds = (last - started).as_seconds_f64().clamp(0.0, clock.elapsed().as_secs_f64());
    Ok((outcomes, seconds))
}

/// What runs.
fn line(state_machines: usize, partitions: i32) -> String {
    format!("state machines: {state_machines}, partitions: {partitions}")
}

/// What a figure is called; the plot finds it by that.
fn name(orders: u64, line: &str) -> String {
    format!("{orders} orders delivered, {line}")
}
