//! The gRPC server of a process: its roles on one port, health, reflection, and bounds on what clients can do to it.

mod answers;
mod connection;
mod gate;
mod health;
mod listener;
mod protocol;
mod time_limit;
mod traced;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{codec::CompressionEncoding, service::Routes};
use tower::Layer;
use tracing::warn;

pub use self::listener::{Acceptor, Incoming, Listener, bind};
use self::{
    answers::Answers,
    connection::Age,
    gate::{Connection, Gate},
    traced::Traced,
};
use crate::{access::Access, rpcs::DESCRIPTORS, shutdown::Tasks};

/// What connections get to finish after the stop, before they are dropped. Less than the hard stop of the process.
const DRAIN: Duration = Duration::from_secs(8);

/// Settings of the server.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Connections that may be open at once; further ones wait to be accepted.
    #[arg(long, env = "COMANDA_MAX_CONNECTIONS", default_value_t = 10_000)]
    pub max_connections: usize,
    /// Calls that may be in progress at once; further ones are answered RESOURCE_EXHAUSTED. Open streams, either way, and health checks do not count.
    #[arg(long, env = "COMANDA_MAX_CALLS", default_value_t = 2048)]
    pub max_calls: usize,
    /// How old a connection gets before its client is told to open another one, so that connections spread over the replicas, in
    /// milliseconds; differs by a tenth at random.
    #[arg(long, env = "COMANDA_MAX_CONNECTION_AGE_MS", default_value_t = 1_200_000)]
    pub max_connection_age_ms: u64,
    /// What the calls and streams of such a connection get to end by themselves, in milliseconds; then they are ended. The default lets
    /// watches reach their own age.
    #[arg(long, env = "COMANDA_MAX_CONNECTION_AGE_GRACE_MS", default_value_t = 2_400_000)]
    pub max_connection_age_grace_ms: u64,
}

impl Limits {
    fn age(&self) -> Age {
        Age {
            most: Duration::from_millis(self.max_connection_age_ms),
            grace: Duration::from_millis(self.max_connection_age_grace_ms),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_calls: 2048,
            max_connection_age_ms: 1_200_000,
            max_connection_age_grace_ms: 2_400_000,
        }
    }
}

/// What a role offers to the server of its process.
pub struct Endpoint {
    /// Adds the role's services.
    pub routes: Routes,
    /// Full names of the gRPC services, for health.
    pub services: Vec<&'static str>,
    /// Whether the role can do its work.
    pub ready: watch::Receiver<bool>,
}

/// Serves endpoints on one port, to the callers that `access` admits, until the stop, then drains for a bounded time.
pub fn serve(
    listener: Listener,
    endpoints: Vec<Endpoint>,
    limits: &Limits,
    access: Access,
    tasks: &Tasks,
) -> Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health_service.accept_compressed(CompressionEncoding::Gzip))
        .add_service(reflection(|b| b.build_v1())?.accept_compressed(CompressionEncoding::Gzip))
        .add_service(reflection(|b| b.build_v1alpha())?.accept_compressed(CompressionEncoding::Gzip));
    let mut roles = Vec::new();
    for endpoint in endpoints {
        routes = Routes::from(routes.into_axum_router().merge(endpoint.routes.into_axum_router().reset_fallback()));
        roles.push((endpoint.services, endpoint.ready));
    }
    let (stop, reported) = (tasks.stop_token(), Arc::new(Notify::new()));
    tasks.spawn("health", health::report(health, roles, reported.clone(), stop.clone()));
    let (service, gate) = (access.layer(Traced(routes.prepare())), Arc::new(Gate::new(limits.max_calls)));
    let (acceptor, age) = (Acceptor::new(listener, limits.max_connections), limits.age());
    tasks.spawn("server", async move {
        // tonic-health says SERVING until it is told otherwise.
        reported.notified().await;
        let (connections, drop_all) = (TaskTracker::new(), CancellationToken::new());
        while let Some(incoming) = stop.run_until_cancelled(acceptor.accept()).await {
            let connection = Connection {
                gate: gate.clone(),
                answers: Arc::new(Answers::new(gate.process.clone())),
                ends: CancellationToken::new(),
            };
            let serving = connection::serve(incoming, service.clone(), connection, age, stop.clone());
            connections.spawn(drop_all.clone().run_until_cancelled_owned(serving));
        }
        // From now on the kernel refuses new connections.
        drop(acceptor);
        drain(connections).await;
        drop_all.cancel();
        Ok(())
    });
    Ok(())
}

async fn drain(connections: TaskTracker) {
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        warn!("connections were still open {DRAIN:?} after the stop: dropping them");
    }
}

fn reflection<S>(
    build: impl FnOnce(tonic_reflection::server::Builder<'static>) -> Result<S, tonic_reflection::server::Error>,
) -> Result<S> {
    let builder = tonic_reflection::server::Builder::configure();
    let builder =
        DESCRIPTORS.into_iter().fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set));
    build(builder).context("the descriptors are unusable")
}
