//! A stream of positions of each courier, about one a second: how many are taken, and how old they are when the grid has them.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use comanda_client::Connection;
use comanda_proto::v1::{Location, StreamLocationsRequest, dispatch_service_client::DispatchServiceClient};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_stream::wrappers::IntervalStream;

use super::{DispatchArgs, Kind, rides};
use crate::{
    cost::Meter,
    http,
    map::Place,
    report::{Better, Run},
    stage::Stage,
};

/// A server takes some hundreds of streams on one connection.
const A_CONNECTION: u64 = 150;
/// What comes sooner is thinned out.
const PERIOD: Duration = Duration::from_millis(1_020);
/// Further than nobody moves in a second.
const METRES: f64 = 8.0;
const LAG: &str = "comanda_dispatch_location_lag_seconds";
/// Each stream is a call, and the server's own bound is lower.
const MORE_CALLS: u64 = 1_000;

/// Starts dispatch, with its metrics where positions are measured.
pub(super) async fn start(stage: &mut Stage, args: &DispatchArgs) -> Result<()> {
    let mut settings = Vec::new();
    if args.kind == Kind::Locations {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        stage.admin = Some(port);
        settings = vec![
            ("COMANDA_ADMIN_LISTEN", port.to_string()),
            ("COMANDA_MAX_CALLS", (args.couriers() + MORE_CALLS).to_string()),
        ];
    }
    stage.start_role("dispatch", &settings).await
}

pub(super) async fn measure(stage: &Stage, args: &DispatchArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    let (couriers, demand) = (args.couriers(), args.demand()?);
    let connections = stage.connect("dispatch", couriers.div_ceil(A_CONNECTION) as usize).await?;
    let (taken, dropped) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let (meter, started) = (Meter::read(stage).await?, Instant::now());
    let mut streams = JoinSet::new();
    bar.set_message("sending positions");
    for n in 0..couriers {
        let client = DispatchServiceClient::new(connections.of(n));
        let (taken, dropped) = (taken.clone(), dropped.clone());
        let positions = positions(n, rides::courier(&demand, n), Duration::from_secs(args.seconds));
        streams.spawn(async move {
            let answer = send(client, positions).await?;
            taken.fetch_add(answer.0, Relaxed);
            dropped.fetch_add(answer.1, Relaxed);
            anyhow::Ok(())
        });
    }
    while let Some(ended) = streams.join_next().await {
        ended?.context("a stream of positions failed")?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let (taken, dropped) = (taken.load(Relaxed), dropped.load(Relaxed));
    run.figure("locations/s", "1/s", taken as f64 / seconds, Better::Higher);
    run.figure("locations dropped", "", dropped as f64, Better::Neither);
    lag(stage, run).await?;
    meter.spent(stage, run).await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM dispatch.positions").fetch_one(&stage.sql).await?;
    run.check("one row a courier, however many positions", rows == couriers as i64, rows.to_string());
    run.check("none of a hundred is dropped", dropped * 100 <= taken, format!("{dropped} of {}", taken + dropped));
    Ok(())
}

/// Positions from about now on, spread over the period so that not all come at once.
fn positions(
    n: u64,
    from: Place,
    lasts: Duration,
) -> impl stream::Stream<Item = StreamLocationsRequest> + Send + 'static {
    let first = Instant::now() + PERIOD.mul_f64((n % 1000) as f64 / 1000.0);
    let mut ticks = interval_at(first, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + lasts;
    let ticks = IntervalStream::new(ticks).take_while(move |tick| std::future::ready(*tick < end));
    ticks.enumerate().map(move |(step, _)| {
        let metres = if step % 2 == 0 { METRES } else { 0.0 };
        let position = Some(from.moved(metres, 0.0).lat_lng());
        let location = Location { position, record_time: Some(SystemTime::now().into()), accuracy_meters: 5.0 };
        StreamLocationsRequest { courier_id: format!("courier-{n}"), location: Some(location) }
    })
}

async fn send(
    mut client: DispatchServiceClient<Connection>,
    positions: impl stream::Stream<Item = StreamLocationsRequest> + Send + 'static,
) -> Result<(i64, i64)> {
    let answer = client.stream_locations(positions).await?.into_inner();
    Ok((answer.taken_count, answer.dropped_count))
}

/// The age of positions when the grid takes them, as the server's own metrics have it.
async fn lag(stage: &Stage, run: &mut Run) -> Result<()> {
    let admin = stage.admin.context("dispatch was started with its metrics")?;
    let text = http::client()?.get(format!("http://{admin}/metrics")).send().await?.text().await?;
    for (quantile, name) in [(0.5, "grid lag p50, at most"), (0.99, "grid lag p99, at most")] {
        let seconds = quantile_of(&text, quantile).with_context(|| format!("dispatch has no metric {LAG}"))?;
        run.figure(name, "ms", seconds * 1000.0, Better::Lower);
    }
    Ok(())
}

/// The upper bound of the bucket in which a quantile lies.
fn quantile_of(text: &str, quantile: f64) -> Option<f64> {
    let buckets = text.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix(LAG)?.strip_prefix("_bucket{le=\"")?.split_once("\"} ")?;
        Some((bound.parse().ok()?, count.parse().ok()?))
    });
    let buckets: Vec<(f64, f64)> = buckets.collect();
    let (_, all) = buckets.last().filter(|(_, all)| *all > 0.0)?;
    buckets.iter().find(|(_, count)| *count >= all * quantile).map(|(bound, _)| *bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_read_from_the_metrics() {
        let buckets = [("0.1", 50), ("0.5", 98), ("1", 99), ("+Inf", 100)];
        let buckets = buckets.map(|(bound, count)| format!("{LAG}_bucket{{le=\"{bound}\"}} {count}\n")).concat();
        let text = format!("# TYPE {LAG} histogram\n{buckets}{LAG}_sum 7\n{LAG}_count 100\n");
        let quantiles = [0.5, 0.51, 0.99, 1.0].map(|quantile| quantile_of(&text, quantile));
        assert_eq!(quantiles, [Some(0.1), Some(0.5), Some(1.0), Some(f64::INFINITY)]);
        assert_eq!(quantile_of(&format!("{LAG}_bucket{{le=\"+Inf\"}} 0"), 0.5), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_courier_sends_less_than_one_position_a_second() {
        let from = Place { latitude: 40.0, longitude: -3.0 };
        let sent: Vec<_> = positions(3, from, Duration::from_secs(10)).collect().await;
        assert!((9..=10).contains(&sent.len()), "{}", sent.len());
        assert!(sent.iter().all(|request| request.courier_id == "courier-3"));
    }
}
