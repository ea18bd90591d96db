//! Rows in batches over one connection, as Comanda's services write them: insert over UNNEST, and update by key and version.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, timeout};

use crate::report::{Better, Run};

/// Rows of a statement.
const BATCH: i64 = 200;
const STATEMENT: Duration = Duration::from_secs(10);

/// Inserts for as long as asked for, then updates the same rows.
pub async fn batches(sql: &PgPool, duration: Duration, run: &mut Run) -> Result<()> {
    let mut connection = sql.acquire().await?;
    let table = "CREATE TABLE probe_rows (id bigint PRIMARY KEY, version bigint NOT NULL, payload text NOT NULL)
                 WITH (fillfactor = 70)";
    sqlx::query(table).execute(&mut *connection).await?;
    let (inserted, rate) = insert(&mut connection, duration).await?;
    run.figure("rows inserted, 200 a statement, one connection", "1/s", rate, Better::Higher);
    // Without statistics the plan of the update is luck.
    sqlx::query("ANALYZE probe_rows").execute(&mut *connection).await?;
    let rate = update(&mut connection, inserted, duration).await?;
    run.figure("rows updated, 200 a statement, one connection", "1/s", rate, Better::Higher);
    Ok(())
}

async fn insert(connection: &mut PgConnection, duration: Duration) -> Result<(i64, f64)> {
    let statement =
        "INSERT INTO probe_rows SELECT id, 1, payload FROM UNNEST($1::bigint[], $2::text[]) AS n(id, payload)";
    let (started, mut batches) = (Instant::now(), 0);
    let payloads = vec!["a row of about the size of a transition, with a few names in it".to_owned(); BATCH as usize];
    while started.elapsed() < duration {
        let query = sqlx::query(statement).bind(keys(batches)).bind(&payloads);
        timeout(STATEMENT, query.execute(&mut *connection)).await.context("an insert does not end")??;
        batches += 1;
    }
    Ok((batches, (batches * BATCH) as f64 / started.elapsed().as_secs_f64()))
}

async fn update(connection: &mut PgConnection, batches: i64, duration: Duration) -> Result<f64> {
    let statement =
        "UPDATE probe_rows r SET version = r.version + 1 FROM UNNEST($1::bigint[], $2::bigint[]) AS n(id, version)
                     WHERE r.id = n.id AND r.version = n.version";
    let (started, mut done) = (Instant::now(), 0);
    while started.elapsed() < duration {
        // Each pass over the batches finds the version that the pass before it left.
        let versions = vec![1 + done / batches; BATCH as usize];
        let query = sqlx::query(statement).bind(keys(done % batches)).bind(versions);
        let result = timeout(STATEMENT, query.execute(&mut *connection)).await.context("an update does not end")??;
        ensure!(result.rows_affected() == BATCH as u64, "an update found {} rows", result.rows_affected());
        done += 1;
    }
    Ok((done * BATCH) as f64 / started.elapsed().as_secs_f64())
}

fn keys(batch: i64) -> Vec<i64> {
    (batch * BATCH..(batch + 1) * BATCH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_touch_and_do_not_overlap() {
        assert_eq!(keys(0).last().map(|last| last + 1), keys(1).first().copied());
        assert_eq!(keys(3).len(), BATCH as usize);
    }
}
