//! Postgres: connections that can not hang, can not be poisoned and get the plans they were measured with.

use std::{future::Future, str::FromStr, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use sqlx::{
    Executor, PgPool, Row,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    backoff::{Backoff, sleep},
    errors::ApiError,
    shutdown::Tasks,
};

/// The schema of the one database, as one linear history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Waiting for a free connection.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// From the call to the answer of one statement, waiting for a connection included: longer than the server lets it run (5 s), so that
/// its end is mostly known, and short enough for callers to be told within 6 s.
const CALL_TIMEOUT: Duration = Duration::from_millis(5500);
/// Looking after a connection that comes back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the database is asked whether it is there.
const READINESS_INTERVAL: Duration = Duration::from_secs(1);
/// How often a statement that lost a deadlock is repeated.
const DEADLOCK_TRIES: usize = 5;

/// Settings of the database.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// The database, as postgres://user@host:port/name. A password belongs into the environment, not on the command line.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "postgres://comanda@127.0.0.1:5433/comanda"
    )]
    pub database_url: String,
    /// How many connections each role's pool may open; up to 8 more are opened beside it, for what runs all the time.
    #[arg(long, env = "COMANDA_DATABASE_CONNECTIONS", default_value_t = 10)]
    pub database_connections: u32,
}

/// What a database call can come to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer within the deadline, or no connection: whether a write was applied is unknown.
    #[error("the database does not answer: {0}")]
    Unreachable(String),
    /// No connection came about in time, since the database is away or all are taken: nothing was done.
    #[error("no connection to the database in time")]
    Busy,
    /// The database refused the statement: nothing was done.
    #[error("the database refused: {0}")]
    Refused(#[source] sqlx::Error),
    /// A row that no version of Comanda wrote.
    #[error("unreadable row: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let unreachable = match &error {
            sqlx::Error::PoolTimedOut => return Self::Busy,
            sqlx::Error::Database(database) => database.code().is_some_and(|code| is_outage(&code)),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
            _ => false,
        };
        if unreachable { Self::Unreachable(error.to_string()) } else { Self::Refused(error) }
    }
}

impl From<prost::DecodeError> for StoreError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        warn!("call failed: {error}");
        match error {
            // sqlx does not say whether the database refused to be connected to or had none left for us.
            StoreError::Busy | StoreError::Unreachable(_) => Self::unavailable(),
            StoreError::Refused(_) | StoreError::Unreadable(_) => Self::internal(),
        }
    }
}

/// SQLSTATE classes of a server that is stopping, starting, full, or that broke off a statement: not the statement's fault.
fn is_outage(code: &str) -> bool {
    ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) || matches!(code, "55P03" | "40001" | DEADLOCK)
}

const DEADLOCK: &str = "40P01";

/// Opens a pool whose connections see `schema` as their own. Connects lazily: it works while the database is down.
pub fn pool(config: &Config, schema: &str) -> Result<PgPool> {
    let options = PgConnectOptions::from_str(&config.database_url)
        .context("DATABASE_URL must look like postgres://user@host:port/name")?
        .application_name(&format!("comanda-{}", schema.replace('_', "-")))
        .options([
            ("search_path", schema),
            ("client_min_messages", "error"),
            ("statement_timeout", "5s"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "10s"),
            // Every statement goes by key or by a small partial index, and every list in the order of one. On young statistics
            // Postgres chose scans and sorts of whole tables and ten times the time; a plan cached on an empty table would
            // keep one for minutes.
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("enable_sort", "off"),
            ("max_parallel_workers_per_gather", "0"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("plan_cache_mode", "force_custom_plan"),
            ("jit", "off"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(async move { is_clean(connection).await }))
        .connect_lazy_with(options))
}

/// Whether a connection that comes back is outside any transaction; else it is closed.
///
/// In sqlx 0.9.0 a future dropped inside `begin()` gives its connection back within an open transaction, and the next
/// borrower's acknowledged writes vanish with it (transact-rs/sqlx#4393). Within a transaction `now()` is older than the statement.
async fn is_clean(connection: &mut sqlx::PgConnection) -> Result<bool, sqlx::Error> {
    let check = connection.fetch_one("SELECT now() = statement_timestamp()");
    match tokio::time::timeout(RELEASE_TIMEOUT, check).await {
        Ok(row) => row?.try_get(0),
        Err(_) => Ok(false),
    }
}

/// Runs one statement under a deadline of ours: nothing in sqlx bounds a read from a server that has gone silent.
pub async fn bounded<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(CALL_TIMEOUT, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Unreachable(format!("no answer within {CALL_TIMEOUT:?}"))),
    }
}

/// Counts how often a statement lost a deadlock: Postgres undid it as a whole, so it can be repeated.
#[derive(Debug, Default)]
pub(crate) struct Deadlocks(usize);

impl Deadlocks {
    /// Whether to run the statement once more.
    pub(crate) fn repeat<T>(&mut self, result: &Result<T, StoreError>) -> bool {
        let lost = matches!(result, Err(StoreError::Refused(error)) if is_deadlock(error));
        self.0 += usize::from(lost);
        lost && self.0 < DEADLOCK_TRIES
    }
}

/// Like [`bounded`], and repeats a statement that lost a deadlock.
pub async fn repeated<T, F>(mut statement: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let mut deadlocks = Deadlocks::default();
    let mut result = bounded(statement()).await;
    while deadlocks.repeat(&result) {
        result = bounded(statement()).await;
    }
    result
}

fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == DEADLOCK)
}

/// Waits until the database answers, however long; an old schema is an error that says what to do.
pub async fn wait_until_ready(pool: &PgPool, stop: &CancellationToken) -> Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while !stop.is_cancelled() {
        match bounded(applied_migrations(pool)).await {
            Ok(applied) => return check_schema(applied),
            Err(StoreError::Refused(error)) => return Err(error).context("the database can not be used"),
            Err(error) => info!("waiting for the database: {error}"),
        }
        backoff.wait(stop).await;
    }
    Ok(())
}

/// Whether the database answers, looked at every second once it has answered with the right schema and `prepare` is done. An old
/// schema stops the process.
pub fn readiness(
    pool: PgPool,
    tasks: &Tasks,
    prepare: impl Future<Output = Result<()>> + Send + 'static,
) -> watch::Receiver<bool> {
    let (sender, ready) = watch::channel(false);
    let stop = tasks.stop_token();
    tasks.spawn("readiness", async move {
        wait_until_ready(&pool, &stop).await?;
        prepare.await?;
        while !stop.is_cancelled() {
            let answers = bounded(sqlx::query("SELECT").execute(&pool)).await.is_ok();
            sender.send_if_modified(|ready| std::mem::replace(ready, answers) != answers);
            sleep(READINESS_INTERVAL, &stop).await;
        }
        Ok(())
    });
    ready
}

/// The newest applied migration; 0 for an empty database.
async fn applied_migrations(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
    if !exists {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM public._sqlx_migrations WHERE success")
        .fetch_one(pool)
        .await
}

fn check_schema(applied: i64) -> Result<()> {
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if applied < needed {
        bail!("the database has schema version {applied}, this program needs {needed}: run `comanda migrate` first");
    }
    Ok(())
}

/// Brings the database's schema up to date.
pub async fn migrate(config: &Config) -> Result<()> {
    let options = PgConnectOptions::from_str(&config.database_url)
        .context("DATABASE_URL must look like postgres://user@host:port/name")?
        .options([("search_path", "public"), ("lock_timeout", "5s"), ("client_min_messages", "warning")]);
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(10)).connect_with(options).await;
    let pool = pool.context("the database does not answer; is it running, and is DATABASE_URL right?")?;
    MIGRATIONS.run(&pool).await.context("the schema could not be brought up to date")?;
    pool.close().await;
    Ok(())
}
