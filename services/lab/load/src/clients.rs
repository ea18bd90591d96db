//! Connections to a role, shared by all callers: one HTTP/2 connection has one lock for all its streams, so there are several.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use comanda_proto::v1::{
    CreateOrderRequest, order_service_client::OrderServiceClient, watch_service_client::WatchServiceClient,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tracing::debug;

use crate::generator::Outcome;

/// Connections that callers share.
pub const CONNECTIONS: usize = 8;
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Some connections to one server, taken in turn.
#[derive(Clone, Debug)]
pub struct Connections(Vec<Channel>);

impl Connections {
    /// Opens `count`.
    pub async fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(Duration::from_secs(5));
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(endpoint.connect().await.with_context(|| format!("{address} does not answer"))?);
        }
        Ok(Self(channels))
    }

    /// The connection of the `n`-th caller.
    pub fn channel(&self, n: u64) -> Channel {
        self.0[n as usize % self.0.len()].clone()
    }

    /// A client of ordering.
    pub fn orders(&self, n: u64) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel(n))
    }

    /// A client of notification.
    pub fn watches(&self, n: u64) -> WatchServiceClient<Channel> {
        WatchServiceClient::new(self.channel(n)).max_decoding_message_size(16 * 1024 * 1024)
    }

    /// Creates an order over the `n`-th connection, and says what came of it and which order it is.
    pub async fn create(&self, n: u64, order: CreateOrderRequest) -> (Outcome, Option<String>) {
        let mut request = tonic::Request::new(order);
        request.set_timeout(CALL_TIMEOUT);
        match self.orders(n).create_order(request).await {
            Ok(response) => (Outcome::Done, response.into_inner().order.map(|order| order.order_id)),
            Err(status) => (refused_or_failed(&status), None),
        }
    }
}

fn refused_or_failed(status: &Status) -> Outcome {
    if status.code() == Code::ResourceExhausted {
        return Outcome::Refused;
    }
    debug!("a call failed: {status}");
    Outcome::Failed
}
