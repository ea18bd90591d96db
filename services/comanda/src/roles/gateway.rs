//! The gateway: as a process of its own, and beside the other roles of one process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, ensure};
use clap::Args;
use comanda_kit::{
    access::config::{Door, Mode},
    shutdown::Tasks,
    tls::{self, Protocol},
};

use super::server::{ServerArgs, serve_metrics};
use crate::client::{connect::Servers, trust::Trust};

/// The flag that says where HTTP listens.
const HTTP_LISTEN: &str = "--http-listen";

/// `comanda gateway`.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    #[command(flatten)]
    gateway: comanda_gateway::Config,
    #[command(flatten)]
    tls: tls::Config,
    /// Where Prometheus metrics are served, under /metrics [default: none].
    #[arg(long, env = "COMANDA_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    #[command(flatten)]
    door: Door,
    // Last: its heading applies to every flag after it.
    #[command(flatten)]
    servers: Servers,
}

/// HTTP beside the other roles of a process.
#[derive(Args, Clone, Debug)]
pub struct HttpArgs {
    /// Serve no HTTP.
    #[arg(long, env = "COMANDA_NO_HTTP")]
    pub no_http: bool,
    /// Settings of the gateway.
    #[command(flatten)]
    pub gateway: comanda_gateway::Config,
}

impl GatewayArgs {
    /// Starts the gateway, if it may listen where it is told to.
    pub fn start(&self, tasks: &Tasks) -> Result<()> {
        self.check()?;
        let app = comanda_gateway::App::build(&self.gateway, self.door, self.servers.config())?;
        let app = app.with_tls(self.tls.listen(&tls::Clients::default(), Protocol::Http1, tasks)?);
        serve_metrics(self.admin_listen)?;
        app.start(tasks)?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.door.check(&[(HTTP_LISTEN, self.gateway.http_listen)], self.tls.is_set())?;
        // Otherwise every caller of the gateway could call the roles as the owner of its certificate.
        let lends = self.servers.trust().client_cert.is_some() && self.door.access == Mode::Open;
        ensure!(
            !lends || self.door.insecure,
            "a gateway that shows a certificate (--client-cert) needs --access required, so that it shows it for nobody without \
             credentials; --insecure starts it all the same"
        );
        Ok(())
    }
}

impl HttpArgs {
    /// Whether HTTP may listen where it is told to.
    pub fn check(&self, server: &ServerArgs) -> Result<()> {
        if self.no_http {
            return Ok(());
        }
        server.listen.access.door.check(&[(HTTP_LISTEN, self.gateway.http_listen)], server.tls.server.is_set())
    }

    /// Starts a gateway that calls the roles of its own process, at `grpc`, as it would call others. Returns where it listens; `None` where
    /// HTTP is not wanted.
    pub fn start(
        &self,
        grpc: SocketAddr,
        server: &ServerArgs,
        trust: &Trust,
        tasks: &Tasks,
    ) -> Result<Option<SocketAddr>> {
        if self.no_http {
            return Ok(None);
        }
        let tls = server.tls.server.listen(&tls::Clients::default(), Protocol::Http1, tasks)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let here = SocketAddr::new(reachable(grpc.ip()), grpc.port());
        let address = format!("{scheme}://{here}").parse().map_err(anyhow::Error::msg)?;
        let servers = comanda_client::Config { tls: trust.tls(), ..comanda_client::Config::at(address) };
        let app = comanda_gateway::App::build(&self.gateway, server.listen.access.door, servers)?;
        app.with_tls(tls).start(tasks).map(Some)
    }
}

/// A server that listens on every address is reached by this one from here.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
