//! Connections to a role, shared by all callers: one HTTP/2 connection has one lock for all its streams, so there are several.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use comanda_client::{Connection, Role};
use comanda_proto::v1::{
    CreateOrderRequest, order_service_client::OrderServiceClient, watch_service_client::WatchServiceClient,
};
use tonic::{Code, Status, service::interceptor::InterceptedService};
use tracing::debug;

use crate::{generator::Outcome, security::Security};

/// Connections that callers share.
pub const CONNECTIONS: usize = 8;
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Some connections to one server, taken in turn.
#[derive(Clone, Debug)]
pub struct Connections(Vec<Connection>);

impl Connections {
    /// Opens `count` to a server that is not secured.
    pub async fn open(address: SocketAddr, count: usize) -> Result<Self> {
        Self::secured(address, count, &Security::default()).await
    }

    /// Opens `count`.
    pub async fn secured(address: SocketAddr, count: usize, security: &Security) -> Result<Self> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            // Whatever serves there, one address is asked for all roles.
            let channel = security.client(address)?.channel(Role::Ordering).await;
            let channel = channel.with_context(|| format!("{address} does not answer"))?;
            connections.push(InterceptedService::new(channel, security.credentials().clone()));
        }
        Ok(Self(connections))
    }

    /// The connection of the `n`-th caller.
    pub fn of(&self, n: u64) -> Connection {
        self.0[n as usize % self.0.len()].clone()
    }

    /// A client of ordering.
    pub fn orders(&self, n: u64) -> OrderServiceClient<Connection> {
        OrderServiceClient::new(self.of(n))
    }

    /// A client of notification.
    pub fn watches(&self, n: u64) -> WatchServiceClient<Connection> {
        WatchServiceClient::new(self.of(n)).max_decoding_message_size(16 * 1024 * 1024)
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
