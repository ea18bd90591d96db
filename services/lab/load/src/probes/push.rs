//! Streams of a server that only pushes one response that is already encoded: what a watch can do at most. Server and readers share this
//! process, and the readers decode.

use std::time::Duration;

use anyhow::{Result, ensure};
use comanda_proto::{
    frame::{
        Frame,
        watch_service_server::{WatchService, WatchServiceServer},
    },
    v1::{OrderTransition, WatchOrderRequest, WatchOrderResponse, WatchOrdersRequest},
};
use futures::{StreamExt, future::try_join_all, stream::Repeat};
use prost::Message;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status, Streaming, service::Routes};

use super::server::Running;
use crate::{
    clients::{CONNECTIONS, Connections},
    report::{Better, Run},
};

/// Notes responses a second over all connections.
pub async fn pushes(duration: Duration, run: &mut Run) -> Result<()> {
    let server = Running::start(Routes::new(WatchServiceServer::new(Constant::new()))).await?;
    let connections = Connections::open(server.address, CONNECTIONS).await?;
    let started = Instant::now();
    let readers = (0..CONNECTIONS as u64).map(|n| {
        let mut client = connections.watches(n);
        tokio::spawn(async move {
            let stream = client.watch_order(WatchOrderRequest::default()).await?.into_inner();
            Ok::<_, Status>(count(stream, started + duration).await)
        })
    });
    let counts = try_join_all(readers).await?.into_iter().collect::<Result<Vec<u64>, Status>>()?;
    let pushed: u64 = counts.iter().sum();
    ensure!(pushed > 0, "the server of the probe pushes nothing");
    let rate = pushed as f64 / started.elapsed().as_secs_f64();
    run.figure("responses pushed, 8 connections", "1/s", rate, Better::Higher);
    Ok(())
}

async fn count(mut stream: Streaming<WatchOrderResponse>, end: Instant) -> u64 {
    let mut count = 0;
    while let Ok(Ok(Some(_))) = timeout_at(end, stream.message()).await {
        count += 1;
        // What lies decoded in the buffer is taken without asking for the time.
        if Instant::now() >= end {
            break;
        }
    }
    count
}

struct Constant(Frame);

impl Constant {
    fn new() -> Self {
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
        Self(Frame::transition(&transition.encode_to_vec()))
    }
}

type Pushed = futures::stream::Map<Repeat<Frame>, fn(Frame) -> Result<Frame, Status>>;

#[async_trait::async_trait]
impl WatchService for Constant {
    type WatchOrderStream = Pushed;
    type WatchOrdersStream = Pushed;

    async fn watch_order(&self, _: Request<WatchOrderRequest>) -> Result<Response<Pushed>, Status> {
        Ok(Response::new(futures::stream::repeat(self.0.clone()).map(Ok)))
    }

    async fn watch_orders(&self, _: Request<WatchOrdersRequest>) -> Result<Response<Pushed>, Status> {
        Err(Status::unimplemented("the probe only pushes one order"))
    }
}
