//! `comanda dev`: every role in one process, with nothing to install. The broker is librdkafka's own mock and lives in memory; the
//! database is a private Postgres that keeps what it is given; everything else is what runs in production.

mod account;
mod broker;
mod database;
mod demo;
mod secret;

use std::{fs, io::IsTerminal, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use comanda_kit::{
    access::config::Mode,
    kafka, postgres,
    shutdown::{Tasks, stop_on_signals},
    tracking,
};
use comanda_proto::topics;

pub use self::demo::DemoArgs;
use self::demo::Show;
use crate::{
    client::trust::Trust,
    failure::Failure,
    migrate,
    operate::republish::{Which, republish},
    roles::{self, Addresses, AllArgs, HttpArgs, ListenArgs, ServerArgs, TlsArgs},
};

/// Partitions of the topics; fewer than in production, since nothing here runs on several machines.
const PARTITIONS: i32 = 4;
/// The in-process broker does not wake a waiting consumer when something comes in.
const FETCH_WAIT_MS: u32 = 5;

/// `comanda dev`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda dev --step-ms 2000
  comanda order create --addr 127.0.0.1:50051 --product Pizza --price 12.50 --email ana@example.com
  grpcurl -plaintext 127.0.0.1:50051 list")]
pub struct DevArgs {
    #[command(flatten)]
    listen: ListenArgs,
    /// An existing database to use instead of a private one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where the private database and the mails are kept [default: ~/.local/share/comanda-dev; for root /var/lib/comanda-dev].
    #[arg(long, env = "COMANDA_DEV_DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    state_machine: comanda_state_machine::Config,
    #[command(flatten)]
    notification: comanda_notification::Config,
    #[command(flatten)]
    dispatch: comanda_dispatch::Config,
    #[command(flatten)]
    analytics: comanda_analytics::Config,
    #[command(flatten)]
    http: HttpArgs,
}

/// Like [`run`], and shows orders or rides on their way.
pub fn run_demo(mut args: DemoArgs) -> Result<(), Failure> {
    let show = args.show();
    args.dev.state_machine.step_ms = args.dev.state_machine.step_ms.or(show.step_ms());
    let data_dir = prepare(&args.dev)?;
    crate::block_on(serve(args.dev, data_dir, Some(show)))
}

/// Runs until a signal. As root it first becomes an ordinary account, which must happen while the process has one thread.
pub fn run(args: DevArgs) -> Result<(), Failure> {
    let data_dir = prepare(&args)?;
    crate::block_on(serve(args, data_dir, None))
}

fn prepare(args: &DevArgs) -> Result<PathBuf> {
    let data_dir = args.data_dir.clone().map_or_else(account::default_data_dir, Ok)?;
    fs::create_dir_all(&data_dir)
        .with_context(|| format!("cannot make {}; choose another --data-dir", data_dir.display()))?;
    if args.database_url.is_none() {
        account::leave_root(&data_dir)?;
    }
    Ok(data_dir)
}

async fn serve(args: DevArgs, data_dir: PathBuf, demo: Option<Show>) -> Result<()> {
    let tasks = Tasks::new();
    stop_on_signals(tasks.stop_token())?;
    let names = topics::ALL.map(|name| format!("{}{name}", topics::DEFAULT_PREFIX));
    let broker = broker::Broker::start(names.to_vec(), PARTITIONS)?;
    let database = match &args.database_url {
        Some(url) => database::Database::given(url),
        None => database::Database::start(&data_dir).await?,
    };
    let served = run_roles(&args, &data_dir, &broker, &database, &tasks, demo).await;
    tasks.stop_token().cancel();
    let stopped = tasks.run().await;
    database.stop().await;
    served.and(stopped)
}

async fn run_roles(
    args: &DevArgs,
    data_dir: &std::path::Path,
    broker: &broker::Broker,
    database: &database::Database,
    tasks: &Tasks,
    demo: Option<Show>,
) -> Result<()> {
    let all = settings(args, data_dir, broker, database)?;
    migrate::database(&all.server.postgres).await?;
    // The broker is empty at every start: what is unfinished is published again. Consumers drop what they know.
    comanda_ordering::operator::Operator::connect(&all.server.postgres)?.relay.begin_log().await?;
    comanda_state_machine::operator::Operator::connect(&all.server.postgres)?.relay.begin_log().await?;
    comanda_dispatch::operator::Operator::connect(&all.server.postgres)?.relay.begin_log().await?;
    let again = republish(&all.server.postgres, Which::Unfinished, None).await?;
    let addresses = roles::start_all(&all, tasks).await?;
    banner(addresses, &all, database, again);
    let stop = tasks.stop_token();
    if let Some(show) = demo {
        show.run(addresses.grpc, data_dir, all.notification.mail.mail_dir.as_deref(), &stop).await?;
    }
    stop.cancelled().await;
    Ok(())
}

fn settings(
    args: &DevArgs,
    data_dir: &std::path::Path,
    broker: &broker::Broker,
    database: &database::Database,
) -> Result<AllArgs> {
    let mut notification = args.notification.clone();
    notification.watch.feed_from_beginning = true;
    if notification.mail.smtp_url.is_none() && notification.mail.mail_dir.is_none() {
        notification.mail.mail_dir = Some(data_dir.join(account::MAILS));
    }
    let mut listen = args.listen.clone();
    if listen.tracking.tracking_keys.is_none() {
        listen.tracking.tracking_keys = Some(tracking_key(data_dir)?);
    }
    let http = args.http.gateway.http_listen;
    if notification.mail.public_url.is_none() && !args.http.no_http && http.port() != 0 {
        notification.mail.public_url = Some(format!("http://{http}"));
    }
    let server = ServerArgs {
        listen,
        tls: TlsArgs::default(),
        postgres: postgres::Config { database_connections: 8, ..postgres::Config::at(database.url()) },
        kafka: kafka::Config {
            kafka_bootstrap_servers: broker.bootstrap_servers().to_owned(),
            topic_prefix: topics::DEFAULT_PREFIX.into(),
            fetch_wait_ms: FETCH_WAIT_MS,
            outbox_cache_mib: kafka::DEFAULT_OUTBOX_CACHE_MIB,
            kafka_config: Vec::new(),
            kafka_config_file: None,
            security: kafka::Security::default(),
        },
    };
    Ok(AllArgs {
        server,
        state_machine: args.state_machine.clone(),
        notification,
        dispatch: args.dispatch.clone(),
        analytics: args.analytics.clone(),
        http: args.http.clone(),
        trust: Trust::default(),
    })
}

/// The file of a key for tracking tokens, made once.
fn tracking_key(data_dir: &std::path::Path) -> Result<PathBuf> {
    let file = data_dir.join("tracking-key.pem");
    secret::kept(&file, tracking::new_key)?;
    Ok(file)
}

fn banner(addresses: Addresses, all: &AllArgs, database: &database::Database, again: usize) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mails = match (&all.notification.mail.smtp_url, &all.notification.mail.mail_dir) {
        (None, Some(directory)) => format!("files in {}", directory.display()),
        _ => "to the mail server of --smtp-url".into(),
    };
    let address = addresses.grpc;
    let access = match all.server.listen.access.door.access {
        Mode::Open => "without access control or TLS",
        Mode::Required => "for those who show credentials, without TLS",
    };
    println!("{bold}comanda dev{plain}: every role on {address}, {access}");
    println!("  kept:   orders, states, history, couriers, jobs and mails-to-send, in {}", database.describe());
    println!(
        "  lost at exit: the event log. The broker ({}) is librdkafka's mock, in memory:",
        all.server.kafka.kafka_bootstrap_servers
    );
    println!(
        "          it is not Kafka; do not measure or attack it. What is unfinished is published again at the next start ({again} orders now)."
    );
    println!("  mails:  {mails}");
    if let Some(http) = addresses.http {
        println!("  board:  http://{http}/board (and http://{http}/docs)");
    }
    println!("  try:    comanda order create --addr {address} --product Pizza --price 12.50");
    println!("          grpcurl -plaintext {address} list");
}
