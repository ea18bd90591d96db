//! Whether the database can be used: at the start, and from then on.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result, bail};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    backoff::{Backoff, sleep},
    dedicated::{Commit, Dedicated},
    postgres::{MIGRATIONS, StoreError, bounded},
    shutdown::Tasks,
};

const CANNOT_BE_USED: &str = "the database cannot be used; `comanda migrate` makes the schema and a role for each service, of which the user of \
                              DATABASE_URL must be a member";

/// How often the database is asked whether it answers.
const INTERVAL: Duration = Duration::from_secs(1);

/// Waits until the database answers, however long; an old schema is an error that says what to do.
async fn wait_until_ready(pool: &PgPool, stop: &CancellationToken) -> Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while !stop.is_cancelled() {
        match bounded(applied_migrations(pool)).await {
            Ok(applied) => return check_schema(applied),
            Err(StoreError::Refused(error)) => return Err(error).context(CANNOT_BE_USED),
            Err(error) => info!("waiting for the database: {error}"),
        }
        backoff.wait(stop).await;
    }
    Ok(())
}

/// Whether the database answers, asked every second once it has answered with the right schema and `prepare` is done. An old schema
/// stops the process.
///
/// It is asked on a connection of its own: calls that hold all connections of the pool do not make the service unready.
pub fn database(
    pool: PgPool,
    tasks: &Tasks,
    prepare: impl Future<Output = Result<()>> + Send + 'static,
) -> watch::Receiver<bool> {
    let (sender, ready) = watch::channel(false);
    let (dedicated, stop) = (Dedicated::new(&pool, Commit::Relaxed), tasks.stop_token());
    tasks.spawn("readiness", async move {
        wait_until_ready(&pool, &stop).await?;
        prepare.await?;
        while !stop.is_cancelled() {
            let answers = answers(&dedicated).await.is_ok();
            sender.send_if_modified(|ready| std::mem::replace(ready, answers) != answers);
            sleep(INTERVAL, &stop).await;
        }
        Ok(())
    });
    ready
}

async fn answers(dedicated: &Dedicated) -> Result<(), StoreError> {
    let mut connection = dedicated.take().await?;
    let result = bounded(sqlx::query("SELECT").execute(&mut *connection)).await;
    connection.end(result).map(drop)
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
