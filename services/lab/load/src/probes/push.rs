//! A bare server that pushes one response, already encoded, to many streams at once: what a watch can do at most. As in Comanda each
//! watcher is a stream of its own and gets one message a round. Server and readers share this process, and the readers decode.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use comanda_proto::{
    frame::{
        Frame,
        watch_service_server::{WatchService, WatchServiceServer},
    },
    v1::{OrderTransition, WatchOrderRequest, WatchOrderResponse, WatchOrdersRequest},
};
use futures::{Stream, StreamExt, TryStreamExt};
use prost::Message;
use tokio::{
    sync::{Notify, broadcast},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use super::server::Running;
use crate::{
    clients::Connections,
    latency::Recorder,
    report::{Better, Run},
};

/// Rounds that a stream may be behind; each round waits for all streams.
const BEHIND: usize = 4;
/// Streams that are being opened at once.
const OPENING: usize = 64;
const BOUND: Duration = Duration::from_secs(30);

/// Pushes to all streams, again and again for about as long as asked for. Notes and returns pushes a second, each round from its push
/// until the last stream has it.
pub async fn pushes(streams: u64, per_connection: u64, duration: Duration, run: &mut Run) -> Result<f64> {
    let news = broadcast::Sender::new(BEHIND);
    let server = Running::start(Routes::new(WatchServiceServer::new(Pusher(news.clone())))).await?;
    let connections = Connections::open(server.address, streams.div_ceil(per_connection) as usize).await?;
    let readers = Readers::open(&connections, streams).await?;
    let (frame, slowest, started) = (frame(), Recorder::default(), Instant::now());
    let (mut rounds, mut seconds) = (0, 0.0);
    while rounds == 0 || started.elapsed() < duration {
        let pushed = Instant::now();
        // Fails only without a stream.
        news.send(frame.clone()).ok();
        timeout(BOUND, readers.all_have_it.notified()).await.context("the streams of the probe get nothing")?;
        slowest.record(pushed.elapsed());
        seconds += pushed.elapsed().as_secs_f64();
        rounds += 1;
    }
    let rate = (rounds * streams) as f64 / seconds;
    run.figure(&format!("bare server: pushes/s to {streams} streams, one each"), "1/s", rate, Better::Higher);
    run.timing(slowest.latency("bare server: push -> last stream"));
    Ok(rate)
}

/// One task for each stream.
struct Readers {
    /// Notified when as many messages have come as there are streams.
    all_have_it: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Readers {
    async fn open(connections: &Connections, streams: u64) -> Result<Self> {
        let opened = futures::stream::iter((0..streams).map(|n| {
            let mut client = connections.watches(n);
            async move { Ok::<_, Status>(client.watch_order(WatchOrderRequest::default()).await?.into_inner()) }
        }));
        let opened = opened.buffer_unordered(OPENING).try_collect::<Vec<_>>();
        let opened = timeout(BOUND, opened).await.context("the streams of the probe do not open")??;
        let (all_have_it, count, mut tasks) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)), JoinSet::new());
        for stream in opened {
            tasks.spawn(read(stream, streams, count.clone(), all_have_it.clone()));
        }
        Ok(Self { all_have_it, _tasks: tasks })
    }
}

async fn read(mut stream: Streaming<WatchOrderResponse>, streams: u64, count: Arc<AtomicU64>, all: Arc<Notify>) {
    while let Ok(Some(_)) = stream.message().await {
        if (count.fetch_add(1, Relaxed) + 1).is_multiple_of(streams) {
            all.notify_one();
        }
    }
}

/// A transition as a watcher gets it.
fn frame() -> Frame {
    let transition = OrderTransition {
        order_id: uuid::Uuid::now_v7().to_string(),
        version: 2,
        number: 123_456,
        customer_id: "customer-1".into(),
        workflow: "delivery".into(),
        from_status: "received".into(),
        to_status: "preparing".into(),
        actor: "system:timer".into(),
        ..OrderTransition::default()
    };
    Frame::transition(&transition.encode_to_vec())
}

struct Pusher(broadcast::Sender<Frame>);

type Pushed = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

#[async_trait::async_trait]
impl WatchService for Pusher {
    type WatchOrderStream = Pushed;
    type WatchOrdersStream = Pushed;

    async fn watch_order(&self, _: Request<WatchOrderRequest>) -> Result<Response<Pushed>, Status> {
        let news = BroadcastStream::new(self.0.subscribe());
        Ok(Response::new(news.map_err(|_| Status::aborted("the stream is too far behind")).boxed()))
    }

    async fn watch_orders(&self, _: Request<WatchOrdersRequest>) -> Result<Response<Pushed>, Status> {
        Err(Status::unimplemented("the probe only pushes one order"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_stream_gets_every_round() -> Result<()> {
        let mut run = Run::default();
        let rate = pushes(12, 5, Duration::from_millis(50), &mut run).await?;
        assert!(rate > 0.0);
        assert_eq!(run.value("bare server: pushes/s to 12 streams, one each"), Some(rate));
        assert!(run.latencies[0].count > 1, "{:?}", run.latencies);
        Ok(())
    }
}
