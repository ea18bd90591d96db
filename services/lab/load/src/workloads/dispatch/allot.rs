//! Rides that wait already when dispatch starts: the rate at which it allots them, with nothing else to do on the machine.

use anyhow::Result;
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{DispatchArgs, rides};
use crate::{
    cost::Meter,
    report::{Better, Run},
    stage::Stage,
};

/// From the first to the last one, by the database's clock.
const SECONDS: &str = "SELECT extract(epoch FROM max(allot_time) - min(allot_time))::float8 FROM dispatch.assignments";

pub(super) async fn measure(stage: &mut Stage, args: &DispatchArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    let (count, demand) = (args.rides(), args.demand()?);
    rides::ask(stage, count, &demand, bar).await?;
    bar.set_message("loading couriers");
    rides::couriers(&stage.sql, args.couriers(), &demand).await?;
    let meter = Meter::read(stage).await?;
    let started = Instant::now();
    stage.start_role("dispatch", &[]).await?;
    rides::confirmed(&stage.sql, count, bar).await?;
    let elapsed = started.elapsed().as_secs_f64();
    let seconds: f64 = sqlx::query_scalar(SECONDS).fetch_one(&stage.sql).await?;
    run.figure("assignments/s", "1/s", count as f64 / seconds, Better::Higher);
    run.figure("from the start of dispatch until all are confirmed", "s", elapsed, Better::Lower);
    meter.note(stage, count, run).await
}
