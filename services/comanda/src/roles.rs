//! The server roles: one process each in production, or all on one port.

mod gateway;
mod server;

use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;
use comanda_kit::shutdown::{Tasks, stop_on_signals};

pub use self::{
    gateway::{GatewayArgs, HttpArgs},
    server::{ListenArgs, ServerArgs, TlsArgs},
};
use crate::client::trust::Trust;

/// `comanda ordering`.
#[derive(Args, Clone, Debug)]
pub struct OrderingArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// `comanda state-machine`.
#[derive(Args, Clone, Debug)]
pub struct StateMachineArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    state_machine: comanda_state_machine::Config,
}

/// `comanda notification`.
#[derive(Args, Clone, Debug)]
pub struct NotificationArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    notification: comanda_notification::Config,
}

/// `comanda dispatch`.
#[derive(Args, Clone, Debug)]
pub struct DispatchArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    dispatch: comanda_dispatch::Config,
}

/// `comanda analytics`.
#[derive(Args, Clone, Debug)]
pub struct AnalyticsArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    analytics: comanda_analytics::Config,
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
    /// What serves gRPC. Its encryption is also that of HTTP.
    #[command(flatten)]
    pub server: ServerArgs,
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
pub async fn ordering(OrderingArgs { server }: OrderingArgs) -> Result<()> {
    let (address, tasks) = (server.address(50051)?, start()?);
    server.listen.traces.start(&["ordering"])?;
    let keys = server.listen.tracking.keys()?;
    let app = comanda_ordering::App::build(&server.postgres, &server.kafka)?.with_tracking(keys.clone());
    let app = app.with_tenant_percent(server.listen.access.tenant_queue_percent);
    let endpoint = app.start(&tasks)?;
    server.serve(address, keys, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs the state machine until a signal.
pub async fn state_machine(StateMachineArgs { server, state_machine }: StateMachineArgs) -> Result<()> {
    let (address, tasks) = (server.address(50052)?, start()?);
    server.listen.traces.start(&["state-machine"])?;
    let app = comanda_state_machine::App::build(&state_machine, &server.postgres, &server.kafka)?;
    let endpoint = app.start(&tasks)?;
    server.serve(address, server.listen.tracking.keys()?, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs notification until a signal.
pub async fn notification(NotificationArgs { server, notification }: NotificationArgs) -> Result<()> {
    let (address, tasks) = (server.address(50053)?, start()?);
    server.listen.traces.start(&["notification"])?;
    let keys = server.listen.tracking.keys()?;
    let app = comanda_notification::App::build(&notification, &server.postgres, &server.kafka, keys.clone())?;
    let endpoint = app.start(&tasks)?;
    server.serve(address, keys, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs dispatch until a signal.
pub async fn dispatch(DispatchArgs { server, dispatch }: DispatchArgs) -> Result<()> {
    let (address, tasks) = (server.address(50054)?, start()?);
    server.listen.traces.start(&["dispatch"])?;
    let app = comanda_dispatch::App::build(&dispatch, &server.postgres, &server.kafka)?;
    let endpoint = app.start(&tasks)?;
    server.serve(address, server.listen.tracking.keys()?, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs analytics until a signal.
pub async fn analytics(AnalyticsArgs { server, analytics }: AnalyticsArgs) -> Result<()> {
    let (address, tasks) = (server.address(50055)?, start()?);
    server.listen.traces.start(&["analytics"])?;
    let app = comanda_analytics::App::build(&analytics, &server.postgres, &server.kafka)?;
    let endpoint = app.start(&tasks)?;
    server.serve(address, server.listen.tracking.keys()?, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs the gateway until a signal.
pub async fn gateway(args: GatewayArgs) -> Result<()> {
    let tasks = start()?;
    args.start(&tasks)?;
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
    let (server, http) = (&args.server, &args.http);
    let address = server.address(50051)?;
    http.check(server)?;
    let ServerArgs { postgres, kafka, listen, .. } = server;
    listen.traces.start(&["ordering", "state-machine", "notification", "dispatch", "analytics"])?;
    let keys = listen.tracking.keys()?;
    let ordering = comanda_ordering::App::build(postgres, kafka)?.with_tracking(keys.clone());
    let ordering = ordering.with_tenant_percent(listen.access.tenant_queue_percent);
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
    let grpc = server.serve(address, keys, endpoints, tasks).await?;
    Ok(Addresses { grpc, http: http.start(grpc, server, &args.trust, tasks)? })
}

fn start() -> Result<Tasks> {
    let tasks = Tasks::new();
    stop_on_signals(tasks.stop_token())?;
    Ok(tasks)
}
