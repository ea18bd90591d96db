//! Statements that Postgres undoes, connections that a change of the schema leaves behind, and commands that exclude each other.

use anyhow::Result;
use comanda_kit::{
    dedicated::{Commit, Dedicated},
    postgres::{self, Exclusive, StoreError, bounded, repeated},
    testing::{Environment, eventually},
};
use sqlx::{Connection, PgConnection, PgPool};

const LOCK_SECOND_THEN_FIRST: &str = "
    WITH second AS (UPDATE ordering.pair SET n = n + 1 WHERE id = 2 RETURNING id)
    UPDATE ordering.pair SET n = n + 1 WHERE id = 1 AND EXISTS (SELECT FROM second)";

struct Fixture {
    environment: Environment,
    sql: PgPool,
    pool: PgPool,
}

impl Fixture {
    async fn new() -> Result<Self> {
        let environment = Environment::without_topics().await?;
        let (sql, pool) = (environment.sql().await?, postgres::pool(&environment.postgres, "ordering")?);
        for statement in [
            "CREATE TABLE ordering.pair (id int PRIMARY KEY, n int NOT NULL)",
            "INSERT INTO ordering.pair VALUES (1, 0), (2, 0)",
            "CREATE VIEW ordering.shown AS SELECT id FROM ordering.pair",
        ] {
            sqlx::raw_sql(statement).execute(&sql).await?;
        }
        Ok(Self { environment, sql, pool })
    }

    /// Lets a statement that locks both rows lose a deadlock, and then succeed.
    async fn deadlock(&self, statement: impl Future<Output = Result<(), StoreError>> + Send + 'static) -> Result<()> {
        let mut other = PgConnection::connect(&self.environment.postgres.database_url).await?;
        // So that Postgres undoes the statement and not this transaction.
        sqlx::raw_sql("SET deadlock_timeout = '30s'; BEGIN; UPDATE ordering.pair SET n = n + 10 WHERE id = 1")
            .execute(&mut other)
            .await?;
        let statement = tokio::spawn(statement);
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the statement waits for the first row", || async {
            (sqlx::query_scalar::<_, i64>(waits).fetch_one(&self.sql).await.ok()? > 0).then_some(())
        })
        .await;
        sqlx::raw_sql("UPDATE ordering.pair SET n = n + 10 WHERE id = 2; COMMIT").execute(&mut other).await?;
        statement.await??;
        let rows: Vec<i32> = sqlx::query_scalar("SELECT n FROM ordering.pair ORDER BY id").fetch_all(&self.sql).await?;
        assert_eq!(rows, [11, 11], "applied exactly once");
        Ok(())
    }

    async fn widen_view(&self) -> Result<()> {
        let statement = "CREATE OR REPLACE VIEW ordering.shown AS SELECT id, n FROM ordering.pair";
        sqlx::raw_sql(statement).execute(&self.sql).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_statement_that_loses_a_deadlock_is_repeated_on_the_pool() -> Result<()> {
    let fixture = Fixture::new().await?;
    let pool = fixture.pool.clone();
    let statement = async move { repeated(|| sqlx::query(LOCK_SECOND_THEN_FIRST).execute(&pool)).await.map(drop) };
    fixture.deadlock(statement).await
}

#[tokio::test]
async fn a_statement_that_loses_a_deadlock_is_repeated_on_a_dedicated_connection() -> Result<()> {
    let fixture = Fixture::new().await?;
    let dedicated = Dedicated::new(&fixture.pool, Commit::Durable);
    let statement = async move {
        let repeated =
            dedicated.repeated(|mut c| async { (sqlx::query(LOCK_SECOND_THEN_FIRST).execute(&mut *c).await, c) });
        repeated.await.map(drop)
    };
    fixture.deadlock(statement).await
}

#[tokio::test]
async fn a_view_that_gains_a_column_under_kept_statements_fails_nobody_for_long() -> Result<()> {
    let fixture = Fixture::new().await?;
    let dedicated = Dedicated::new(&fixture.pool, Commit::Durable);
    let statement = || sqlx::query("SELECT * FROM shown");
    let on_dedicated = async || {
        let repeated = dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) });
        repeated.await.map(|rows| rows.len())
    };
    let on_pool = async || repeated(|| statement().fetch_all(&fixture.pool)).await.map(|rows| rows.len());
    assert_eq!((on_dedicated().await?, on_pool().await?), (2, 2));
    // Several connections of the pool keep the statement.
    let (one, two) = tokio::try_join!(fixture.pool.acquire(), fixture.pool.acquire())?;
    let mut kept = [one, two];
    for connection in &mut kept {
        statement().fetch_all(&mut **connection).await?;
    }
    drop(kept);

    fixture.widen_view().await?;
    assert_eq!((on_dedicated().await?, on_pool().await?), (2, 2), "tried again on a new connection");
    assert_eq!(
        bounded(statement().fetch_all(&fixture.pool)).await?.len(),
        2,
        "no connection with the old plan is left"
    );
    Ok(())
}

#[tokio::test]
async fn a_call_that_cannot_be_repeated_meets_a_changed_view_once_and_is_told_so() -> Result<()> {
    let fixture = Fixture::new().await?;
    let call = || bounded(sqlx::query("SELECT * FROM shown").fetch_all(&fixture.pool));
    assert_eq!(call().await?.len(), 2);
    eventually("the connection is back in the pool", || async { (fixture.pool.num_idle() == 1).then_some(()) }).await;
    fixture.widen_view().await?;
    let error = call().await.expect_err("the kept statement has other columns now");
    assert!(error.is_transient() && matches!(error, StoreError::Undone(_)), "{error}");
    assert_eq!(call().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_no_outage() -> Result<()> {
    let fixture = Fixture::new().await?;
    let slow = bounded(sqlx::query("SELECT pg_sleep(6)").execute(&fixture.pool)).await.expect_err("5 s are allowed");
    assert!(matches!(slow, StoreError::TooSlow(_)), "{slow}");
    Ok(())
}

#[tokio::test]
async fn a_command_of_an_operator_names_the_one_that_runs() -> Result<()> {
    let environment = Environment::without_topics().await?;
    let first = Exclusive::begin(&environment.postgres, "comanda purge").await?;
    let error = Exclusive::begin(&environment.postgres, "comanda republish").await.expect_err("one at a time");
    assert!(error.to_string().starts_with("`comanda purge` is running"), "{error}");
    drop(first);
    eventually("the lock is free", || async {
        Exclusive::begin(&environment.postgres, "comanda republish").await.ok()
    })
    .await;
    Ok(())
}
