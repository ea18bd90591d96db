//! Rides at a rate, while one watcher of all orders looks: how long each took to be confirmed, as it is told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_proto::v1::{
    WatchOrdersRequest, WatchOrdersResponse, watch_orders_request::Start, watch_orders_response::Event,
};
use indicatif::ProgressBar;
use tokio::{sync::Mutex, time::Instant};
use tonic::Streaming;

use super::{DispatchArgs, rides};
use crate::{
    clients::CONNECTIONS,
    generator::{self, Outcome, Pace, Until},
    latency::Recorder,
    report::Run,
    stage::{Stage, within},
    workloads::note_calls,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// When a ride was asked for, and when a watcher saw its statuses.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    asked: Option<Instant>,
    requested: Option<Instant>,
    confirmed: Option<Instant>,
}

type Seen = Arc<Mutex<HashMap<String, Times>>>;

pub(super) async fn measure(stage: &Stage, args: &DispatchArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    let seen = Seen::default();
    let reader = tokio::spawn(read(watch(stage).await?, seen.clone()));
    let connections = stage.connect("ordering", CONNECTIONS).await?;
    let (demand, sent) = (args.demand()?, seen.clone());
    let until = Until::Elapsed(Duration::from_secs(args.seconds));
    let outcomes = generator::run(Pace::Open { rate: args.rate }, until, bar, move |n| {
        let (connections, ride, sent, asked) =
            (connections.clone(), rides::ride(&demand, n), sent.clone(), Instant::now());
        async move {
            let (outcome, order_id) = connections.create(n, ride).await;
            if let (Outcome::Done, Some(order_id)) = (outcome, order_id) {
                sent.lock().await.entry(order_id).or_default().asked = Some(asked);
            }
            outcome
        }
    })
    .await;
    let all = within(PATIENCE, async || (complete(&seen).await >= outcomes.done()).then_some(())).await;
    reader.abort();
    run.check(
        "the watcher saw every ride confirmed",
        all.is_ok(),
        format!("{} of {}", complete(&seen).await, outcomes.done()),
    );
    let (told, all) = (Recorder::default(), Recorder::default());
    for times in seen.lock().await.values() {
        let Some(confirmed) = times.confirmed else { continue };
        times.requested.iter().for_each(|requested| told.record(confirmed - *requested));
        times.asked.iter().for_each(|asked| all.record(confirmed - *asked));
    }
    run.timing(told.latency("watcher sees requested -> sees confirmed"));
    run.timing(all.latency("ride asked for -> watcher sees confirmed"));
    note_calls(&outcomes, "rides asked for", run);
    Ok(())
}

async fn complete(seen: &Seen) -> u64 {
    seen.lock().await.values().filter(|times| times.asked.is_some() && times.confirmed.is_some()).count() as u64
}

/// Opens a watch of all orders.
async fn watch(stage: &Stage) -> Result<Streaming<WatchOrdersResponse>> {
    let connections = stage.connect("notification", 1).await?;
    let request = WatchOrdersRequest { start: Some(Start::Now(Default::default())), ..WatchOrdersRequest::default() };
    let mut stream = connections.watches(0).watch_orders(request).await?.into_inner();
    stream.message().await?.context("a watch begins with where it begins")?;
    Ok(stream)
}

/// Notes when what is seen.
async fn read(mut stream: Streaming<WatchOrdersResponse>, seen: Seen) {
    while let Ok(Some(response)) = stream.message().await {
        let now = Instant::now();
        let Some(Event::Transition(transition)) = response.event else { continue };
        let mut seen = seen.lock().await;
        let times = seen.entry(transition.order_id).or_default();
        match transition.to_status.as_str() {
            "requested" => _ = times.requested.get_or_insert(now),
            "confirmed" => _ = times.confirmed.get_or_insert(now),
            _ => {}
        }
    }
}
