//! What a mail costs in the ledger: row versions, and how many of them need entries in indexes.

use anyhow::Result;
use comanda_kit::testing::eventually;
use sqlx::PgPool;
use tracing::info;
use uuid::Uuid;

use super::world::{STATUSES, World};

const ANA: &str = "ana@example.com";

/// What Postgres counted for the ledger.
#[derive(Debug, sqlx::FromRow)]
struct Versions {
    inserted: i64,
    updated: i64,
    updated_on_its_page: i64,
}

async fn orders(world: &World, count: usize) -> Result<Vec<Uuid>> {
    let mut orders = Vec::new();
    for _ in 0..count {
        orders.push(world.order(ANA, &STATUSES).await?);
    }
    Ok(orders)
}

async fn all_sent(world: &World, count: i64) {
    eventually("all mails are sent", || async {
        let sent = "SELECT count(*) FROM mails WHERE state = 4";
        let sent: i64 = sqlx::query_scalar(sent).fetch_one(&world.pool).await.ok()?;
        (sent == count).then_some(())
    })
    .await;
}

/// The counts, once every connection of the service has reported what it did. The extension that counts statements and WAL is not
/// everywhere: its figures go to the log alone.
async fn counted(world: &World, mails: i64) -> Result<Versions> {
    world.pool.close().await;
    let sql = world.environment.sql().await?;
    world.environment.reads().await?;
    if let Err(error) = log_statements(&sql, mails).await {
        info!("statements were not counted: {error}");
    }
    let versions = "SELECT n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_hot_upd AS updated_on_its_page
                    FROM pg_stat_user_tables WHERE schemaname = 'notification' AND relname = 'mails'";
    let versions = sqlx::query_as(versions).fetch_one(&sql).await?;
    info!("{mails} mails: {versions:?}");
    Ok(versions)
}

async fn log_statements(sql: &PgPool, mails: i64) -> Result<()> {
    sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(sql).await?;
    let statements: Vec<(String, i64, i64, i64, i64, f64)> = sqlx::query_as(
        r"SELECT left(regexp_replace(query, '\s+', ' ', 'g'), 150), calls, rows, wal_bytes::bigint, wal_fpi, total_exec_time
          FROM pg_stat_statements
          WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND query ~ 'mails|mail_claims' AND query !~ '^(--|SELECT count|SELECT state|CREATE|ALTER)'
          ORDER BY query",
    )
    .fetch_all(sql)
    .await?;
    let per_mail = |sum: i64| sum as f64 / mails as f64;
    for (query, calls, rows, wal, fpi, ms) in &statements {
        info!(
            "{:.3} calls, {:.2} rows, {:.0} B of WAL ({fpi} full pages), {:.1} us: {query}",
            per_mail(*calls),
            per_mail(*rows),
            per_mail(*wal),
            ms * 1000.0 / mails as f64
        );
    }
    info!(
        "per mail: {:.3} statements, {:.0} B of WAL, {:.1} us",
        per_mail(statements.iter().map(|of| of.1).sum()),
        per_mail(statements.iter().map(|of| of.3).sum()),
        statements.iter().map(|of| of.5).sum::<f64>() * 1000.0 / mails as f64
    );
    Ok(())
}

#[tokio::test]
async fn a_mail_that_comes_while_a_sender_is_free_has_two_versions() -> Result<()> {
    let world = World::new().await?;
    let service = world.start(&[]).await?;
    let orders = orders(&world, 10).await?;
    for order in &orders {
        for (version, status) in (1..).zip(STATUSES) {
            world.publish(*order, &[(version, status)]).await?;
            let sent = "SELECT state = 4 FROM mails WHERE order_id = $1 AND version = $2";
            eventually("the mail is sent", || async {
                let sent = sqlx::query_scalar(sent).bind(order).bind(version).fetch_optional(&world.pool).await.ok()?;
                (sent == Some(true)).then_some(())
            })
            .await;
        }
    }
    service.stop().await?;
    let versions = counted(&world, 40).await?;
    assert_eq!((versions.inserted, versions.updated, versions.updated_on_its_page), (40, 40, 40));
    Ok(())
}

#[tokio::test]
async fn of_many_mails_at_once_most_have_two_versions() -> Result<()> {
    let world = World::new().await?;
    let orders = orders(&world, 250).await?;
    let service = world.start(&[]).await?;
    for (version, status) in (1i64..).zip(STATUSES) {
        let records = orders.iter().map(|order| World::record(*order, version, status)).collect::<Vec<_>>();
        world.produce(&records).await?;
    }
    all_sent(&world, 1000).await;
    service.stop().await?;
    let versions = counted(&world, 1000).await?;
    assert_eq!(versions.inserted, 1000);
    // A mail that came while no sender had room, or while an earlier one of its order was under way, has a third version: on a slow machine
    // more than half of them, but never all.
    assert!(versions.updated < 1800 && versions.updated_on_its_page > 700, "{versions:?}");
    Ok(())
}
