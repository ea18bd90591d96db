//! What every role that serves gRPC is told, and how it begins to serve.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Result;
use clap::Args;
use comanda_kit::{
    access::{self, config::Mode},
    kafka, postgres,
    server::{self, Endpoint, Limits},
    shutdown::Tasks,
    telemetry,
    tls::{self, Protocol},
    traces,
    tracking::{self, Keys},
};
use tracing::info;

/// The flag that says where gRPC listens.
const LISTEN: &str = "--listen";

/// Settings of a process that serves gRPC.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ServerArgs {
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Encryption of what listens.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The database.
    #[command(flatten)]
    pub postgres: postgres::Config,
    /// Kafka.
    #[command(flatten)]
    pub kafka: kafka::Config,
}

/// Where a process listens.
#[derive(Args, Clone, Debug)]
pub struct ListenArgs {
    /// Where gRPC listens [default: 127.0.0.1 and the role's port: 50051 ordering and all, 50052 state-machine, 50053
    /// notification, 50054 dispatch, 50055 analytics].
    #[arg(long, env = "COMANDA_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where Prometheus metrics are served, under /metrics [default: none].
    #[arg(long, env = "COMANDA_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,
    /// Traces.
    #[command(flatten)]
    pub traces: traces::Config,
    /// Access control.
    #[command(flatten)]
    pub access: access::Config,
    /// Tracking tokens.
    #[command(flatten)]
    pub tracking: tracking::Config,
    #[command(flatten)]
    limits: Limits,
}

/// How what listens for gRPC encrypts.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct TlsArgs {
    /// The certificate of this server.
    #[command(flatten)]
    pub server: tls::Config,
    #[command(flatten)]
    clients: tls::Clients,
}

impl ServerArgs {
    /// Where gRPC is to listen, if it may listen there.
    pub fn address(&self, default_port: u16) -> Result<SocketAddr> {
        let address = self.listen.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, default_port).into());
        self.listen.access.door.check(&[(LISTEN, address)], self.tls.server.is_set())?;
        Ok(address)
    }

    /// Serves these endpoints, and metrics, until the tasks stop. Returns the address, which has the port that was chosen for port 0.
    pub async fn serve(
        &self,
        address: SocketAddr,
        keys: Option<Arc<Keys>>,
        endpoints: Vec<Endpoint>,
        tasks: &Tasks,
    ) -> Result<SocketAddr> {
        let tls = self.tls.server.listen(&self.tls.clients, Protocol::Http2, tasks)?;
        let listener = server::bind(address)?.with_tls(tls);
        let address = listener.address()?;
        serve_metrics(self.listen.admin_listen)?;
        self.announce(address, listener.has_tls());
        let access = self.listen.access.start(&self.postgres, keys, tasks)?;
        server::serve(listener, endpoints, &self.listen.limits, access, tasks)?;
        Ok(address)
    }

    fn announce(&self, address: SocketAddr, has_tls: bool) {
        let how = if has_tls { "with" } else { "without" };
        match self.listen.access.door.access {
            Mode::Open => {
                info!("gRPC on {address}, {how} TLS, no access control: let only those reach it who may do everything")
            }
            Mode::Required => info!("gRPC on {address}, {how} TLS, for those who show credentials"),
        }
    }
}

/// Serves Prometheus metrics where that is wanted.
pub fn serve_metrics(admin: Option<SocketAddr>) -> Result<()> {
    if let Some(admin) = admin {
        telemetry::serve_metrics(admin)?;
        info!("metrics on http://{admin}/metrics");
    }
    Ok(())
}
