//! Faults inside Postgres.

use std::time::Duration;

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

/// How long one statement of ours may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tables that everybody needs.
const TABLES: [&str; 13] = [
    "ordering.orders",
    "ordering.outbox",
    "ordering.lease",
    "state_machine.states",
    "state_machine.transitions",
    "state_machine.outbox",
    "notification.mails",
    "notification.mail_claims",
    "notification.mail_owners",
    "dispatch.couriers",
    "dispatch.jobs",
    "dispatch.assignments",
    "analytics.gates",
];
/// Our own connections, which no fault hits.
const NAME: &str = "comanda-trials-nemesis";

/// Connects past the proxy.
pub async fn connect(url: &str) -> Result<PgConnection> {
    let options = url.parse::<PgConnectOptions>()?.application_name(NAME);
    timeout(PATIENCE, options.connect()).await.context("Postgres is silent")?.context("Postgres does not answer")
}

/// Locks a table until the connection is closed. Waits for those who use it, who then wait for us.
pub async fn lock_a_table(url: &str, seed: u64) -> Result<PgConnection> {
    let table = TABLES[StdRng::seed_from_u64(seed).random_range(0..TABLES.len())];
    let mut connection = connect(url).await?;
    sqlx::query("BEGIN").execute(&mut connection).await?;
    let statement = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    let locking = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection);
    timeout(PATIENCE, locking).await.with_context(|| format!("{table} is never free"))??;
    Ok(connection)
}

/// Gives a lock back.
pub async fn unlock(connection: PgConnection) -> Result<()> {
    timeout(PATIENCE, connection.close()).await.context("Postgres is silent")?.map_err(Into::into)
}

/// Ends half of the connections.
pub async fn terminate_backends(url: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    let statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name <> $1 AND random() < 0.5";
    timeout(PATIENCE, sqlx::query(statement).bind(NAME).execute(&mut connection))
        .await
        .context("Postgres is silent")??;
    unlock(connection).await
}
