//! Postgres: connections that cannot hang, never carry over a transaction, and get the plans they were measured with.

mod error;
mod exclusive;
mod options;

use std::{future::Future, path::PathBuf, time::Duration, time::Instant};

use anyhow::{Context, Result};
use clap::Args;
use sqlx::{
    Executor, PgPool, Row,
    migrate::Migrator,
    pool::PoolConnectionMetadata,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub(crate) use self::error::may_be_stale;
use self::options::{follow_password, options};
pub use self::{error::StoreError, exclusive::Exclusive};

/// The schema of the one database, as one linear history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Waiting for a free connection.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// From the call to the answer of one statement, waiting for a connection included: longer than the server lets it run (5 s), so that
/// its result is mostly known, and short enough for callers to get an answer within 6 s.
const CALL_TIMEOUT: Duration = Duration::from_millis(5500);
/// Checking a connection that is given back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a statement that the database undid is tried.
pub(crate) const TRIES: usize = 5;

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
    /// How many connections each role's pool may open. Up to 9 more are opened beside it for work that never pauses, and half as many as
    /// the pool's for calls that read one order or move a courier.
    #[arg(long, env = "COMANDA_DATABASE_CONNECTIONS", default_value_t = 10)]
    pub database_connections: u32,
    /// A file with the password of the database's user. It counts more than one in DATABASE_URL. Connections that are opened after it has changed use
    /// the new one.
    #[arg(long, env = "COMANDA_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Connect to a database on another machine without checking who it is, and perhaps without encryption.
    #[arg(long, env = "COMANDA_DATABASE_INSECURE")]
    pub database_insecure: bool,
}

impl Config {
    /// A database, as it is reached where nothing else is said.
    pub fn at(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            database_connections: 10,
            database_password_file: None,
            database_insecure: false,
        }
    }
}

/// Opens a pool whose connections see `schema` as their own, with the rights of its service. Connects lazily: it works while the database is down.
pub fn pool(config: &Config, schema: &str) -> Result<PgPool> {
    Ok(pool_of(config, service(config, schema)?, schema))
}

/// Opens a pool whose connections see `schema` as their own, with the rights of their account: for operators.
pub fn operator_pool(config: &Config, schema: &str) -> Result<PgPool> {
    Ok(pool_of(config, planned(config, schema)?, schema))
}

fn pool_of(config: &Config, options: PgConnectOptions, schema: &str) -> PgPool {
    let options = options.application_name(&format!("comanda-{}", schema.replace('_', "-")));
    let pool = PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|_, metadata| Box::pin(async move { Ok(!is_stale(&metadata)) }))
        .after_release(|connection, _| Box::pin(async move { is_clean(connection).await }))
        .connect_lazy_with(options);
    if let Some(file) = &config.database_password_file {
        tokio::spawn(follow_password(file.clone(), pool.clone()));
    }
    pool
}

/// How a connection of a service is opened: it sees `schema` as its own, and may do what its service may (migration 0009).
fn service(config: &Config, schema: &str) -> Result<PgConnectOptions> {
    Ok(planned(config, schema)?.options([("role", &*format!("comanda_{schema}"))]))
}

/// How a connection is opened that sees `schema` as its own, with the rights of its account.
fn planned(config: &Config, schema: &str) -> Result<PgConnectOptions> {
    Ok(options(config)?.options([("search_path", schema)]).options([
        ("client_min_messages", "error"),
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
        // Every statement goes by key or by a small partial index, and every list in the order of an index. With young
        // statistics Postgres chose scans and sorts of whole tables, which took ten times as long; a plan cached on an empty
        // table would last for minutes.
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_sort", "off"),
        ("max_parallel_workers_per_gather", "0"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("plan_cache_mode", "force_custom_plan"),
        ("jit", "off"),
    ]))
}

fn is_stale(metadata: &PoolConnectionMetadata) -> bool {
    may_be_stale(Instant::now().checked_sub(metadata.age))
}

/// Whether a connection that is given back is outside any transaction; else it is closed.
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

/// Runs one statement under a deadline of ours: nothing in sqlx bounds a read from a server that has stopped answering.
pub async fn bounded<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    within_deadline(async { Ok(statement.await?) }).await
}

/// Runs everything that one call asks of the database under one deadline.
pub(crate) async fn within_deadline<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    // Boxed, because a statement's future is large and would be part of the future of every caller above it.
    let result = tokio::time::timeout(CALL_TIMEOUT, Box::pin(work)).await;
    result.unwrap_or_else(|_| Err(StoreError::Unreachable(format!("no answer within {CALL_TIMEOUT:?}"))))
}

/// Like [`bounded`], and tries a statement again that the database undid.
pub async fn repeated<T, F>(mut statement: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    for _ in 1..TRIES {
        match bounded(statement()).await {
            Err(StoreError::Undone(_)) => {}
            result => return result,
        }
    }
    bounded(statement()).await
}

/// Brings the database's schema up to date.
pub async fn migrate(config: &Config) -> Result<()> {
    let options = options(config)?.options([
        ("search_path", "public"),
        ("lock_timeout", "5s"),
        ("client_min_messages", "warning"),
    ]);
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(10)).connect_with(options).await;
    let pool = pool.context("the database does not answer; is it running, and is DATABASE_URL right?")?;
    MIGRATIONS.run(&pool).await.context("the schema could not be brought up to date")?;
    pool.close().await;
    Ok(())
}
