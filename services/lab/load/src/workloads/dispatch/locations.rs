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
use comanda_proto::v1::{Location, StreamLocationsRequest, dispatch_service_client::DispatchServiceClient};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_stream::wrappers::IntervalStream;
use tonic::transport::Channel;

use super::{DispatchArgs, Kind, rides};
use crate::{
    clients::Connections,
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
    let connections = Connections::open(stage.address("dispatch")?, couriers.div_ceil(A_CONNECTION) as usize).await?;
    let (taken, dropped) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let (meter, started) = (Meter::read(stage).await?, Instant::now());
    let mut streams = JoinSet::new();
    bar.set_message("sending positions");
    for n in 0..couriers {
        let client = DispatchServiceClient::new(connections.channel(n));
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
    mut client: DispatchServiceClient<Channel>,
    positions: impl stream::Stream<Item = StreamLocationsRequest> + Send + 'static,
) -> Result<(i64, i64)> {
    let answer = client.stream_locations(positions).await?.into_inner();
    Ok((answer.taken_count, answer.dropped_count))
}

/// The age of positions when the grid takes them, as the server's own metrics have it.
async fn lag(stage: &Stage, run: &mut Run) -> Result<()> {
    let admin = stage.admin.context("dispatch was started with its metrics")?;
    let text = http::client()?.get(format!("http://{admin}/metrics")).send().await?.text().await?;
    for (quantile, name) in [("0.5", "grid lag p50"), ("0.99", "grid lag p99")] {
        let seconds = quantile_of(&text, quantile).with_context(|| format!("dispatch has no metric {LAG}"))?;
        run.figure(name, "ms", seconds * 1000.0, Better::Lower);
    }
    Ok(())
}

fn quantile_of(text: &str, quantile: &str) -> Option<f64> {
    let start = format!("{LAG}{{quantile=\"{quantile}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_read_from_the_metrics() {
        let text = format!(
            "# TYPE {LAG} summary\n{LAG}{{quantile=\"0.5\"}} 0.012\n{LAG}{{quantile=\"0.99\"}} 0.4\n{LAG}_sum 7\n"
        );
        assert_eq!(quantile_of(&text, "0.99"), Some(0.4));
        assert_eq!(quantile_of(&text, "0.9"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_courier_sends_less_than_one_position_a_second() {
        let from = Place { latitude: 40.0, longitude: -3.0 };
        let sent: Vec<_> = positions(3, from, Duration::from_secs(10)).collect().await;
        assert!((9..=10).contains(&sent.len()), "{}", sent.len());
        assert!(sent.iter().all(|request| request.courier_id == "courier-3"));
    }
}
