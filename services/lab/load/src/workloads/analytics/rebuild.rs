//! A rebuild: counting everything again, from orders that are in the tables.

use anyhow::{Context, Result};
use comanda_proto::v1::{
    Bucket, CountOrdersRequest, GetAnalyticsStateRequest, ReportFilter,
    analytics_service_client::AnalyticsServiceClient,
};
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{AnalyticsArgs, events::PER_ORDER};
use crate::{
    clients::Connections,
    preload,
    report::{Better, Run},
    stage::Stage,
    workloads::observed,
};

pub(super) async fn measure(stage: &mut Stage, args: &AnalyticsArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    bar.set_message("loading orders");
    // It makes the workflow that the orders follow.
    stage.start_role("state-machine", &[]).await?;
    stage.stop_role("state-machine").await?;
    preload::delivered(&stage.sql, i64::try_from(args.orders)?).await?;
    stage.start_role("analytics", &[]).await?;
    bar.set_message("counting again");
    let started = Instant::now();
    observed(stage, run, stage.run_once(&["stats", "rebuild"], &[])).await?;
    let seconds = started.elapsed().as_secs_f64();
    run.figure("rebuild", "s", seconds, Better::Lower);
    run.figure("orders counted anew/s", "1/s", args.orders as f64 / seconds, Better::Higher);
    let address = stage.address("analytics")?;
    let mut analytics = AnalyticsServiceClient::new(Connections::open(address, 1).await?.of(0));
    let state = analytics.get_analytics_state(GetAnalyticsStateRequest {}).await?.into_inner();
    run.check("the new numbers are live", state.generation == 2, format!("generation {}", state.generation));
    let filter = Some(ReportFilter { bucket: Bucket::Total.into(), ..ReportFilter::default() });
    let rows = analytics.count_orders(CountOrdersRequest { filter }).await?.into_inner().rows;
    let counted: i64 = rows.iter().map(|row| row.entered_count).sum();
    let due = i64::try_from(args.orders * PER_ORDER).context("too many orders")?;
    run.check("every transition is counted once", counted == due, format!("{counted} of {due}"));
    Ok(())
}
