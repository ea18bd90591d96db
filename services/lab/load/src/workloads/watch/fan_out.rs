//! One order, and how fast all its watchers see it move; and how fast a bare server would push as much.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Context, Result};
use comanda_client::Connection;
use comanda_proto::v1::{AdvanceOrderRequest, lifecycle_service_client::LifecycleServiceClient};
use indicatif::ProgressBar;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{WatchArgs, streams::Streams};
use crate::{
    cost::Meter,
    latency::Recorder,
    probes::push,
    report::{Better, Run},
    stage::Stage,
};

/// The way of an order of the workflow `delivery`.
const STATUSES: [&str; 3] = ["preparing", "dispatched", "delivered"];
const CALL: Duration = Duration::from_secs(10);
/// How long a bare server pushes for comparison.
const BARE: Duration = Duration::from_secs(2);

pub(super) async fn measure(
    stage: &Stage,
    args: &WatchArgs,
    ids: &[String],
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<()> {
    let id = ids.first().context("an order was placed")?;
    bar.set_message("opening streams");
    let orders = vec![id.clone(); args.watchers as usize];
    let streams = Streams::open(stage.address("notification")?, &orders, args.per_connection).await?;
    let channel = stage.connect("state-machine", 1).await?.of(0);
    let mut lifecycle = LifecycleServiceClient::new(channel);
    let (meter, slowest, mut seconds) = (Meter::read(stage).await?, Recorder::default(), 0.0);
    for (status, round) in STATUSES.into_iter().zip(1..) {
        bar.set_message(status);
        let started = Instant::now();
        advance(&mut lifecycle, id, status).await?;
        let receipts = &streams.receipts;
        receipts.reach("watchers that saw it", &receipts.seen, round * args.watchers).await?;
        let elapsed = receipts.last() - started;
        slowest.record(elapsed);
        seconds += elapsed.as_secs_f64();
    }
    let pushes = STATUSES.len() as f64 * args.watchers as f64;
    let rate = pushes / seconds;
    run.figure("pushes/s, from the call until the last watcher has it", "1/s", rate, Better::Higher);
    run.timing(slowest.latency("call -> last watcher"));
    run.timing(streams.receipts.take_latency().latency("transition -> watcher"));
    meter.spent(stage, run).await?;
    let (seen, broken) = (streams.receipts.seen.load(Relaxed), streams.receipts.broken.load(Relaxed));
    let passed = seen as f64 == pushes && broken == 0;
    run.check("each watcher saw each transition once", passed, format!("{seen} of {pushes}, {broken} streams broke"));
    drop(streams);
    bar.set_message("a bare server");
    let bare = push::pushes(args.watchers, args.per_connection, BARE, run).await?;
    run.figure("pushes/s, to those of a bare server", "x", rate / bare, Better::Higher);
    Ok(())
}

async fn advance(lifecycle: &mut LifecycleServiceClient<Connection>, id: &str, to_status: &str) -> Result<()> {
    let request = AdvanceOrderRequest {
        order_id: id.into(),
        request_id: Uuid::new_v4().to_string(),
        to_status: to_status.into(),
        ..AdvanceOrderRequest::default()
    };
    timeout(CALL, lifecycle.advance_order(request)).await.context("AdvanceOrder does not answer")??;
    Ok(())
}
