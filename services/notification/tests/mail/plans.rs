//! Statements stay fast where Postgres knows little of the ledger.

use anyhow::Result;
use comanda_kit::testing::eventually;

use super::world::World;

const MAILS: i64 = 1_500;

#[tokio::test]
async fn a_backlog_that_postgres_does_not_know_of_yet_is_not_read_whole_for_each_mail() -> Result<()> {
    let world = World::without_topic().await?;
    fill(&world).await?;
    // As on a calm day: all mails are sent, and the index of open ones counts as empty.
    world.sql("VACUUM ANALYZE mails").await?;
    world.sql("UPDATE mails SET state = 1, next_try_time = now()").await?;
    world.environment.forget_reads().await?;

    let service = world.start(&[]).await?;
    eventually("all mails are sent", || async {
        // Not by the index whose reads are counted.
        let open = "SELECT count(*) FROM mails WHERE state IN (1, 3)";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&world.pool).await.ok()?;
        (open == 0).then_some(())
    })
    .await;
    service.stop().await?;
    world.pool.close().await;

    let reads = world.environment.reads().await?;
    let read = reads.iter().find(|(name, _)| name == "notification.mails_open").map_or(0, |(_, read)| *read);
    // Each claim passes over what the claims before it have taken; reading all for each mail would be the square of the backlog.
    assert!(read < MAILS * MAILS / 2, "{read} entries of the index were read for {MAILS} mails");
    Ok(())
}

/// Mails of as many orders, all sent.
async fn fill(world: &World) -> Result<()> {
    world.sql("ALTER TABLE mails SET (autovacuum_enabled = false)").await?;
    sqlx::query(
        "INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                      total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
         SELECT gen_random_uuid(), 'default', n, 'c', 'Ana', 'ana@example.com', 'es', '', 'MXN', 0, 0, 1, 'delivery', 1, 'received'
         FROM generate_series(1, $1) n",
    )
    .bind(MAILS)
    .execute(&world.pool)
    .await?;
    world
        .sql(
            "INSERT INTO mails (order_id, version, tenant, status, transition_time, state, next_try_time)
             SELECT order_id, 1, tenant, 'received', create_time, 4, NULL FROM ordering.orders",
        )
        .await
}
