//! The server roles: one process each in production, or all on one port.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Result, ensure};
use clap::Args;
use comanda_kit::{
    access::{
        self,
        config::{Door, Mode},
    },
    kafka, postgres,
    server::{self, Endpoint, Limits},
    shutdown::{Tasks, stop_on_signals},
    telemetry,
    tls::{self, Protocol},
    traces,
    tracking::{self, Keys},
};
use tracing::info;

use crate::client::{connect::Servers, trust::Trust};

/// The flags that say where a process listens.
const LISTEN: &str = "--listen";
const HTTP_LISTEN: &str = "--http-listen";

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
    /// Who gets in.
    #[command(flatten)]
    pub access: access::Config,
    /// Tracking tokens.
    #[command(flatten)]
    pub tracking: tracking::Config,
    #[command(flatten)]
    limits: Limits,
}

impl ListenArgs {
    /// Where gRPC is to listen, if it may listen there.
    fn address(&self, default_port: u16, tls: &TlsArgs) -> Result<SocketAddr> {
        let address = self.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, default_port).into());
        self.access.door.check(&[(LISTEN, address)], tls.server.is_set())?;
        Ok(address)
    }
}

/// How what listens for gRPC encrypts.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct TlsArgs {
    #[command(flatten)]
    server: tls::Config,
    #[command(flatten)]
    clients: tls::Clients,
}

/// `comanda ordering`.
#[derive(Args, Clone, Debug)]
pub struct OrderingArgs {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
}

/// `comanda state-machine`.
#[derive(Args, Clone, Debug)]
pub struct StateMachineArgs {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    state_machine: comanda_state_machine::Config,
}

/// `comanda notification`.
#[derive(Args, Clone, Debug)]
pub struct NotificationArgs {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    notification: comanda_notification::Config,
}

/// `comanda dispatch`.
#[derive(Args, Clone, Debug)]
pub struct DispatchArgs {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    dispatch: comanda_dispatch::Config,
}

/// `comanda analytics`.
#[derive(Args, Clone, Debug)]
pub struct AnalyticsArgs {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    analytics: comanda_analytics::Config,
}

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

/// Where the roles of a process are reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP, unless there is none.
    pub http: Option<SocketAddr>,
}

/// `comanda all`.
#[derive(Args, Clone, Debug)]
pub struct AllArgs {
    /// Where the process listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Encryption of what listens, HTTP included.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The database.
    #[command(flatten)]
    pub postgres: postgres::Config,
    /// Kafka.
    #[command(flatten)]
    pub kafka: kafka::Config,
    /// The state machine.
    #[command(flatten)]
    pub state_machine: comanda_state_machine::Config,
    /// Watches and mails.
    #[command(flatten)]
    pub notification: comanda_notification::Config,
    /// Couriers and their jobs.
    #[command(flatten)]
    pub dispatch: comanda_dispatch::Config,
    /// Reports.
    #[command(flatten)]
    pub analytics: comanda_analytics::Config,
    /// HTTP.
    #[command(flatten)]
    pub http: HttpArgs,
    // Last: its heading applies to every flag after it.
    /// Whom the gateway trusts, and what it shows.
    #[command(flatten)]
    pub trust: Trust,
}

/// Runs ordering until a signal.
pub async fn ordering(args: OrderingArgs) -> Result<()> {
    let (address, tasks) = (args.listen.address(50051, &args.tls)?, start()?);
    args.listen.traces.start(&["ordering"])?;
    let keys = args.listen.tracking.keys()?;
    let app = comanda_ordering::App::build(&args.postgres, &args.kafka)?.with_tracking(keys.clone());
    let app = app.with_tenant_percent(args.listen.access.tenant_queue_percent);
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, address, &args.tls, &args.postgres, keys, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs the state machine until a signal.
pub async fn state_machine(args: StateMachineArgs) -> Result<()> {
    let (address, tasks) = (args.listen.address(50052, &args.tls)?, start()?);
    args.listen.traces.start(&["state-machine"])?;
    let app = comanda_state_machine::App::build(&args.state_machine, &args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, address, &args.tls, &args.postgres, args.listen.tracking.keys()?, vec![endpoint], &tasks)
        .await?;
    tasks.run().await
}

/// Runs notification until a signal.
pub async fn notification(args: NotificationArgs) -> Result<()> {
    let (address, tasks) = (args.listen.address(50053, &args.tls)?, start()?);
    args.listen.traces.start(&["notification"])?;
    let keys = args.listen.tracking.keys()?;
    let app = comanda_notification::App::build(&args.notification, &args.postgres, &args.kafka, keys.clone())?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, address, &args.tls, &args.postgres, keys, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs dispatch until a signal.
pub async fn dispatch(args: DispatchArgs) -> Result<()> {
    let (address, tasks) = (args.listen.address(50054, &args.tls)?, start()?);
    args.listen.traces.start(&["dispatch"])?;
    let app = comanda_dispatch::App::build(&args.dispatch, &args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, address, &args.tls, &args.postgres, args.listen.tracking.keys()?, vec![endpoint], &tasks)
        .await?;
    tasks.run().await
}

/// Runs analytics until a signal.
pub async fn analytics(args: AnalyticsArgs) -> Result<()> {
    let (address, tasks) = (args.listen.address(50055, &args.tls)?, start()?);
    args.listen.traces.start(&["analytics"])?;
    let app = comanda_analytics::App::build(&args.analytics, &args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, address, &args.tls, &args.postgres, args.listen.tracking.keys()?, vec![endpoint], &tasks)
        .await?;
    tasks.run().await
}

/// Runs the gateway until a signal.
pub async fn gateway(args: GatewayArgs) -> Result<()> {
    let tasks = start()?;
    args.door.check(&[(HTTP_LISTEN, args.gateway.http_listen)], args.tls.is_set())?;
    // Else whoever reaches the gateway would call the roles as the owner of its certificate.
    let lends = args.servers.trust().client_cert.is_some() && args.door.access == Mode::Open;
    ensure!(
        !lends || args.door.insecure,
        "a gateway that shows a certificate (--client-cert) needs --access required, so that it shows it for nobody without \
         credentials; --insecure starts it all the same"
    );
    let app = comanda_gateway::App::build(&args.gateway, args.door, args.servers.config())?;
    let app = app.with_tls(args.tls.listen(&tls::Clients::default(), Protocol::Http1, &tasks)?);
    serve_metrics(args.admin_listen)?;
    app.start(&tasks)?;
    tasks.run().await
}

/// Runs every role in one process, on one port, and the gateway on another, until a signal.
pub async fn all(args: AllArgs) -> Result<()> {
    let tasks = start()?;
    start_all(&args, &tasks).await?;
    tasks.run().await
}

/// Starts every role.
pub async fn start_all(args: &AllArgs, tasks: &Tasks) -> Result<Addresses> {
    let AllArgs { postgres, kafka, .. } = args;
    let (address, door) = (args.listen.address(50051, &args.tls)?, args.listen.access.door);
    if !args.http.no_http {
        door.check(&[(HTTP_LISTEN, args.http.gateway.http_listen)], args.tls.server.is_set())?;
    }
    args.listen.traces.start(&["ordering", "state-machine", "notification", "dispatch", "analytics"])?;
    let keys = args.listen.tracking.keys()?;
    let ordering = comanda_ordering::App::build(postgres, kafka)?.with_tracking(keys.clone());
    let ordering = ordering.with_tenant_percent(args.listen.access.tenant_queue_percent);
    let state_machine = comanda_state_machine::App::build(&args.state_machine, postgres, kafka)?;
    let notification = comanda_notification::App::build(&args.notification, postgres, kafka, keys.clone())?;
    let dispatch = comanda_dispatch::App::build(&args.dispatch, postgres, kafka)?;
    let analytics = comanda_analytics::App::build(&args.analytics, postgres, kafka)?;
    let endpoints = vec![
        ordering.start(tasks)?,
        state_machine.start(tasks)?,
        notification.start(tasks)?,
        dispatch.start(tasks)?,
        analytics.start(tasks)?,
    ];
    let grpc = serve(&args.listen, address, &args.tls, postgres, keys, endpoints, tasks).await?;
    let http = if args.http.no_http { None } else { Some(start_gateway(args, grpc, tasks)?) };
    Ok(Addresses { grpc, http })
}

/// The gateway calls the roles of its own process as it would call others.
fn start_gateway(args: &AllArgs, grpc: SocketAddr, tasks: &Tasks) -> Result<SocketAddr> {
    let tls = args.tls.server.listen(&tls::Clients::default(), Protocol::Http1, tasks)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let here = SocketAddr::new(reachable(grpc.ip()), grpc.port());
    let address = format!("{scheme}://{here}").parse().map_err(anyhow::Error::msg)?;
    let servers = comanda_client::Config { tls: args.trust.tls(), ..comanda_client::Config::at(address) };
    comanda_gateway::App::build(&args.http.gateway, args.listen.access.door, servers)?.with_tls(tls).start(tasks)
}

/// A server that listens on every address is reached by this one from here.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn start() -> Result<Tasks> {
    let tasks = Tasks::new();
    stop_on_signals(tasks.stop_token())?;
    Ok(tasks)
}

async fn serve(
    args: &ListenArgs,
    address: SocketAddr,
    tls: &TlsArgs,
    postgres: &postgres::Config,
    keys: Option<Arc<Keys>>,
    endpoints: Vec<Endpoint>,
    tasks: &Tasks,
) -> Result<SocketAddr> {
    let listener = server::bind(address)?.with_tls(tls.server.listen(&tls.clients, Protocol::Http2, tasks)?);
    let address = listener.address()?;
    serve_metrics(args.admin_listen)?;
    let how = if listener.has_tls() { "with" } else { "without" };
    match args.access.door.access {
        Mode::Open => {
            info!("gRPC on {address}, {how} TLS, no access control: let only those reach it who may do everything")
        }
        Mode::Required => info!("gRPC on {address}, {how} TLS, for those who show credentials"),
    }
    let access = args.access.start(postgres, keys, tasks)?;
    server::serve(listener, endpoints, &args.limits, access, tasks)?;
    Ok(address)
}

fn serve_metrics(admin: Option<SocketAddr>) -> Result<()> {
    if let Some(admin) = admin {
        telemetry::serve_metrics(admin)?;
        info!("metrics on http://{admin}/metrics");
    }
    Ok(())
}
