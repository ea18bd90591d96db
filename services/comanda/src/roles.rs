//! The server roles: one process each in production, or all on one port.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use clap::Args;
use comanda_kit::{
    access::Access,
    kafka, postgres,
    server::{self, Endpoint, Limits},
    shutdown::{Tasks, stop_on_signals},
    telemetry,
};
use tracing::info;

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
    #[command(flatten)]
    limits: Limits,
}

/// `comanda ordering`.
#[derive(Args, Clone, Debug)]
pub struct OrderingArgs {
    #[command(flatten)]
    listen: ListenArgs,
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
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    analytics: comanda_analytics::Config,
}

/// `comanda all`.
#[derive(Args, Clone, Debug)]
pub struct AllArgs {
    /// Where the process listens.
    #[command(flatten)]
    pub listen: ListenArgs,
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
}

/// Runs ordering until a signal.
pub async fn ordering(args: OrderingArgs) -> Result<()> {
    let tasks = start()?;
    let app = comanda_ordering::App::build(&args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, 50051, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs the state machine until a signal.
pub async fn state_machine(args: StateMachineArgs) -> Result<()> {
    let tasks = start()?;
    let app = comanda_state_machine::App::build(&args.state_machine, &args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, 50052, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs notification until a signal.
pub async fn notification(args: NotificationArgs) -> Result<()> {
    let tasks = start()?;
    let app = comanda_notification::App::build(&args.notification, &args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, 50053, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs dispatch until a signal.
pub async fn dispatch(args: DispatchArgs) -> Result<()> {
    let tasks = start()?;
    let app = comanda_dispatch::App::build(&args.dispatch, &args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, 50054, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs analytics until a signal.
pub async fn analytics(args: AnalyticsArgs) -> Result<()> {
    let tasks = start()?;
    let app = comanda_analytics::App::build(&args.analytics, &args.postgres, &args.kafka)?;
    let endpoint = app.start(&tasks)?;
    serve(&args.listen, 50055, vec![endpoint], &tasks).await?;
    tasks.run().await
}

/// Runs every role in one process, on one port, until a signal.
pub async fn all(args: AllArgs) -> Result<()> {
    let tasks = start()?;
    start_all(&args, &tasks).await?;
    tasks.run().await
}

/// Starts every role.
pub async fn start_all(args: &AllArgs, tasks: &Tasks) -> Result<SocketAddr> {
    let AllArgs { postgres, kafka, .. } = args;
    let ordering = comanda_ordering::App::build(postgres, kafka)?;
    let state_machine = comanda_state_machine::App::build(&args.state_machine, postgres, kafka)?;
    let notification = comanda_notification::App::build(&args.notification, postgres, kafka)?;
    let dispatch = comanda_dispatch::App::build(&args.dispatch, postgres, kafka)?;
    let analytics = comanda_analytics::App::build(&args.analytics, postgres, kafka)?;
    let endpoints = vec![
        ordering.start(tasks)?,
        state_machine.start(tasks)?,
        notification.start(tasks)?,
        dispatch.start(tasks)?,
        analytics.start(tasks)?,
    ];
    serve(&args.listen, 50051, endpoints, tasks).await
}

fn start() -> Result<Tasks> {
    let tasks = Tasks::new();
    stop_on_signals(tasks.stop_token())?;
    Ok(tasks)
}

async fn serve(args: &ListenArgs, default_port: u16, endpoints: Vec<Endpoint>, tasks: &Tasks) -> Result<SocketAddr> {
    let address = args.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, default_port).into());
    let listener = server::bind(address)?;
    let address = listener.local_addr()?;
    if let Some(admin) = args.admin_listen {
        telemetry::serve_metrics(admin)?;
        info!("metrics on http://{admin}/metrics");
    }
    info!("gRPC on {address}, without authentication and without TLS: let only those reach it who may do everything");
    server::serve(listener, endpoints, &args.limits, Access::default(), tasks)?;
    Ok(address)
}
