//! Many streams at once.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use comanda_client::Connection;
use comanda_proto::v1::{
    WatchOrderRequest, WatchOrderResponse, WatchOrdersRequest, WatchOrdersResponse, watch_orders_request::Start,
    watch_service_client::WatchServiceClient,
};
use futures::{StreamExt, TryStreamExt};
use procfs::process::{LimitValue, Process};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Streaming, transport::Endpoint};

use super::receipts::Receipts;
use crate::clients::Connections;

/// Streams that are being opened at once.
const OPENING: usize = 64;
const OPEN: Duration = Duration::from_secs(30);
/// What else a process has open.
const OTHER_FILES: u64 = 200;
/// HTTP/2's own default; tonic's is 2 MiB, which takes long to fill.
const SMALL_WINDOW: u32 = 65_535;

/// Whether both ends may hold so many connections: each is a file of this process, and one of notification's.
pub(super) fn enough_files(connections: u64) -> Result<()> {
    let limit = match Process::myself()?.limits()?.max_open_files.soft_limit {
        LimitValue::Unlimited => return Ok(()),
        LimitValue::Value(limit) => limit,
    };
    if limit < connections + OTHER_FILES {
        bail!(
            "{connections} connections need as many open files and {OTHER_FILES} others, but the limit is {limit}: \
             raise it (`ulimit -n`), or share connections (--per-connection)"
        );
    }
    Ok(())
}

/// Streams that are read until they are dropped.
pub(super) struct Streams {
    pub(super) receipts: Arc<Receipts>,
    _readers: JoinSet<()>,
}

impl Streams {
    /// Opens one on each of `orders`, and waits until each has told how its order is.
    pub(super) async fn open(address: SocketAddr, orders: &[String], per_connection: u64) -> Result<Self> {
        let count = orders.len().div_ceil(per_connection as usize);
        let connections = Connections::open(address, count).await?;
        let opened = futures::stream::iter(orders.iter().zip(0..).map(|(order, n)| {
            let client = connections.watches(n);
            watch(client, order.clone())
        }));
        let streams: Vec<_> = opened.buffer_unordered(OPENING).try_collect().await?;
        let (receipts, mut readers) = (Arc::new(Receipts::new()), JoinSet::new());
        for stream in streams {
            readers.spawn(read(stream, receipts.clone()));
        }
        receipts.reach("streams that are established", &receipts.established, orders.len() as u64).await?;
        Ok(Self { receipts, _readers: readers })
    }
}

async fn watch(mut client: WatchServiceClient<Connection>, order_id: String) -> Result<Streaming<WatchOrderResponse>> {
    let request = WatchOrderRequest { order_id, ..WatchOrderRequest::default() };
    let answer = timeout(OPEN, client.watch_order(request)).await.context("a stream does not open")?;
    Ok(answer?.into_inner())
}

async fn read(mut stream: Streaming<WatchOrderResponse>, receipts: Arc<Receipts>) {
    let mut is_live = false;
    loop {
        match stream.message().await {
            Ok(Some(response)) => receipts.take(response, &mut is_live),
            Ok(None) => return,
            Err(_) => {
                receipts.broken.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}

/// Streams of all orders that are never read, each over a connection of its own.
pub(super) async fn open_stalled(address: SocketAddr, count: u64) -> Result<Vec<Streaming<WatchOrdersResponse>>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(OPEN)
        .initial_stream_window_size(SMALL_WINDOW)
        .initial_connection_window_size(SMALL_WINDOW);
    let opened = (0..count).map(|_| async {
        let mut client = WatchServiceClient::new(endpoint.connect().await?);
        let request =
            WatchOrdersRequest { start: Some(Start::Now(Default::default())), ..WatchOrdersRequest::default() };
        let answer = timeout(OPEN, client.watch_orders(request)).await.context("a stream does not open")?;
        Ok(answer?.into_inner())
    });
    futures::stream::iter(opened).buffer_unordered(OPENING).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_connections_are_told_before_they_fail() {
        assert!(enough_files(1).is_ok());
        assert!(enough_files(u64::MAX / 2).is_err());
    }
}
