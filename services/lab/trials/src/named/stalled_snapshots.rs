//! Readers that take nothing from the first byte on, while their snapshots are sent.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use comanda_checker::history::What;
use comanda_proto::v1::{
    OrderView, WatchOrdersRequest, watch_orders_request::Start, watch_service_client::WatchServiceClient,
};
use futures::{
    FutureExt,
    future::{LocalBoxFuture, join_all},
};
use prost::Message;
use tokio::time::{sleep, timeout};
use tonic::{Code, transport::Endpoint};

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Terms, Trial},
};
use crate::{
    cluster::Role,
    nemesis::Field,
    raw::{
        frames::{INITIAL_WINDOW, hello, whole_call},
        wire::Wire,
    },
    workload,
};

const METHOD: &str = "/comanda.v1.WatchService/WatchOrders";
/// Streams of many orders that a server carries in this trial, all of which the readers take.
const PLACES: u64 = 600;
const PER_CONNECTION: u32 = 100;
/// Orders that are there when the readers come.
const BEFORE: Duration = Duration::from_secs(15);
/// How long the readers stay: well beyond the stall time of a trial (10 s).
const STAY: Duration = Duration::from_secs(35);
const CALL: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);
/// How long somebody else may have to wait for a place: the stall time and what it takes to notice.
const MOST_WAIT_S: f64 = 15.0;
const REFUSED: &str = "calls refused while stalled readers had every place";
const WAITED: &str = "s until another reader had a place and its whole snapshot";

/// All places are taken by readers with closed windows.
pub const SNAPSHOTS: Trial = Trial {
    name: "stalled-snapshots",
    about: "600 readers take every place for WatchOrders and not one byte of their snapshots: another reader gets in within 15 s",
    plan: |_| Plan {
        replicas: 1,
        // Long lives, so that a snapshot has some thousand orders.
        step_ms: 10_000,
        settings: vec![("COMANDA_MAX_MANY_WATCHES", PLACES.to_string())],
        workload: workload::Settings {
            orders_per_second: 100.0,
            order_life_ms: 30_000,
            moved: 0.0,
            boards: 0,
            ..Plan::default().workload
        },
        length_ms: 60_000,
        drain_ms: 120_000,
        ..Plan::default()
    },
    act: Some(stall),
    goals: |facts| {
        vec![
            Goal::least(REFUSED, facts.most_measured(REFUSED), 1.0),
            Goal::most(WAITED, facts.most_measured(WAITED), MOST_WAIT_S),
            Goal::most("MiB that notification grew by", growth(facts), 128.0),
        ]
    },
};

fn growth(facts: &Facts<'_>) -> Option<f64> {
    facts.growth_mib("notification-0", facts.span_us("stalled")?)
}

fn stall(field: Arc<Field>, _: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        sleep(BEFORE).await;
        let fault = field.recorder.number();
        let (name, target) = ("readers stalled in their snapshots".into(), "notification-0".into());
        field.recorder.record(What::Fault { fault, name, target });
        let replica = field.cluster.endpoints.of(Role::Notification).next().context("there is no notification")?;
        let mut wires = Vec::new();
        for _ in 0..PLACES.div_ceil(PER_CONNECTION.into()) {
            wires.push(reader(replica.direct).await?);
        }
        let stay = join_all(wires.into_iter().map(|wire| wire.answer_pings(STAY)));
        let other = another(&field, replica.direct);
        let (_, entered) = tokio::join!(stay, other);
        entered?;
        field.recorder.record(What::Heal { fault, failed: None });
        Ok(())
    }
    .boxed_local()
}

/// A connection whose streams may send nothing, with as many calls as it may have.
async fn reader(address: std::net::SocketAddr) -> Result<Wire> {
    let mut wire = Wire::connect(address).await?;
    let request = snapshot().encode_to_vec();
    let calls = (0..PER_CONNECTION).flat_map(|n| whole_call(2 * n + 1, METHOD, &request));
    let bytes: Vec<u8> = hello(&[(INITIAL_WINDOW, 0)]).into_iter().chain(calls).collect();
    anyhow::ensure!(wire.send(&bytes, CALL).await, "notification takes no calls");
    Ok(wire)
}

fn snapshot() -> WatchOrdersRequest {
    WatchOrdersRequest { start: Some(Start::Snapshot(Default::default())), view: OrderView::Full.into(), filter: None }
}

/// Somebody who reads asks until there is a place, and notes how long that took.
async fn another(field: &Field, address: std::net::SocketAddr) -> Result<()> {
    let channel = timeout(CALL, Endpoint::from_shared(format!("http://{address}"))?.connect()).await??;
    let (began, mut refused) = (Instant::now(), 0);
    // The readers' calls are on their way.
    sleep(RETRY).await;
    while began.elapsed() < STAY {
        match timeout(CALL, whole_snapshot(WatchServiceClient::new(channel.clone()))).await {
            Ok(Ok(())) => {
                field.recorder.record(What::Measured { name: WAITED.into(), value: began.elapsed().as_secs_f64() });
                break;
            }
            Ok(Err(status)) if status.code() == Code::ResourceExhausted => refused += 1,
            // Whatever else it is: nobody got in.
            Ok(Err(_)) | Err(_) => {}
        }
        sleep(RETRY).await;
    }
    field.recorder.record(What::Measured { name: REFUSED.into(), value: f64::from(refused) });
    Ok(())
}

async fn whole_snapshot(client: WatchServiceClient<tonic::transport::Channel>) -> Result<(), tonic::Status> {
    use comanda_proto::v1::watch_orders_response::Event::SnapshotComplete;
    let mut stream = client.max_decoding_message_size(16 * 1024 * 1024).watch_orders(snapshot()).await?.into_inner();
    while let Some(response) = stream.message().await? {
        if matches!(response.event, Some(SnapshotComplete(_))) {
            return Ok(());
        }
    }
    Err(tonic::Status::unknown("the stream ended within its snapshot"))
}
