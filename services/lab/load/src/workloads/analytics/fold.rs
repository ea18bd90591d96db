//! Transitions that wait on the topic: how fast they are counted; then the reports over all of them.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use comanda_client::Connection;
use comanda_proto::v1::{
    Bucket, CountOrdersRequest, GetAnalyticsStateRequest, ReportCouriersRequest, ReportDwellRequest, ReportFilter,
    ReportRatesRequest, ReportRevenueRequest, analytics_service_client::AnalyticsServiceClient,
};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::{AnalyticsArgs, events};
use crate::{
    clients::Connections,
    cost::Meter,
    latency::Recorder,
    report::{Better, Run},
    stage::Stage,
    workloads::observed,
};

const PERIOD: Duration = Duration::from_secs(365 * 24 * 3600);
const LOOK: Duration = Duration::from_millis(100);
const STUCK: Duration = Duration::from_secs(60);

pub(super) async fn measure(stage: &mut Stage, args: &AnalyticsArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    bar.set_message("publishing a year of transitions");
    let (kafka, orders) = (stage.kafka.clone(), args.orders);
    tokio::task::spawn_blocking(move || events::publish(&kafka, orders)).await??;
    let (meter, started) = (Meter::read(stage).await?, Instant::now());
    stage.start_role("analytics", &[]).await?;
    let address = stage.address("analytics")?;
    let mut analytics = AnalyticsServiceClient::new(Connections::open(address, 1).await?.of(0));
    let transitions = orders * events::PER_ORDER;
    let counting = counted(&mut analytics, transitions, bar);
    observed(stage, run, counting).await?;
    let rate = transitions as f64 / started.elapsed().as_secs_f64();
    run.figure("transitions counted/s", "1/s", rate, Better::Higher);
    meter.spent(stage, run).await?;
    bar.set_message("asking for reports");
    reports(&mut analytics, args.reports, run).await
}

/// Waits until all are counted, by the report itself: what waits is looked at only now and then.
async fn counted(
    analytics: &mut AnalyticsServiceClient<Connection>,
    transitions: u64,
    bar: &ProgressBar,
) -> Result<()> {
    let (mut before, mut moved) = (-1, Instant::now());
    loop {
        let request = CountOrdersRequest { filter: Some(year(Bucket::Total)) };
        let rows = analytics.count_orders(request).await?.into_inner().rows;
        let now: i64 = rows.iter().map(|row| row.entered_count).sum();
        bar.set_message(format!("{now} of {transitions} transitions counted"));
        if now >= transitions as i64 {
            return Ok(());
        }
        if now != before {
            (before, moved) = (now, Instant::now());
        }
        anyhow::ensure!(moved.elapsed() < STUCK, "{now} of {transitions} are counted, and nothing moves");
        sleep(LOOK).await;
    }
}

fn year(bucket: Bucket) -> ReportFilter {
    let from_time = Some((SystemTime::now() - PERIOD).into());
    ReportFilter { from_time, bucket: bucket.into(), ..ReportFilter::default() }
}

/// Each report by days and as a whole, again and again.
async fn reports(analytics: &mut AnalyticsServiceClient<Connection>, times: u32, run: &mut Run) -> Result<()> {
    let (all, started) = (Recorder::default(), Instant::now());
    let state = analytics.get_analytics_state(GetAnalyticsStateRequest {}).await?.into_inner();
    run.check("everything is counted", state.waiting_records == 0, format!("{} records wait", state.waiting_records));
    for n in 0..times {
        let filter = Some(year(if n % 2 == 0 { Bucket::Day } else { Bucket::Total }));
        let mut clock = Instant::now();
        let mut took = || all.record(std::mem::replace(&mut clock, Instant::now()).elapsed());
        let counts = analytics.count_orders(CountOrdersRequest { filter: filter.clone() }).await?.into_inner();
        took();
        counts.rows.first().context("a year without any order")?;
        analytics.report_dwell(ReportDwellRequest { filter: filter.clone() }).await?;
        took();
        analytics.report_rates(ReportRatesRequest { filter: filter.clone() }).await?;
        took();
        analytics.report_revenue(ReportRevenueRequest { filter: filter.clone() }).await?;
        took();
        analytics.report_couriers(ReportCouriersRequest { filter, courier_id: String::new() }).await?;
        took();
    }
    let latency = all.latency("a report over a year");
    run.figure("longest report over a year", "ms", latency.at(100.0).unwrap_or(f64::NAN), Better::Lower);
    run.figure(
        "reports/s, one after the other",
        "1/s",
        f64::from(times * 5) / started.elapsed().as_secs_f64(),
        Better::Higher,
    );
    run.timing(latency);
    Ok(())
}
