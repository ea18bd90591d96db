//! Batches over UNNEST get wrong plans on young statistics (ARCHITECTURE.md, "Plans"): scans of whole tables, ten times the time.
//! Postgres counts what each index and table was read: that tells what plans were run, not what plans were hoped for.

use anyhow::Result;
use comanda_kit::access::Scope;
use comanda_ordering::store::{Store, Window};
use comanda_proto::v1::CreateOrderRequest;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    fixture::{Fixture, Stepper, new_order, request_with_id, run},
    trip,
};

const ROWS: i64 = 20_000;

#[tokio::test]
async fn no_statement_reads_a_whole_table_that_was_filled_and_never_analyzed() -> Result<()> {
    let fixture = Fixture::new().await?;
    fill(&fixture).await?;
    let some: Uuid = sqlx::query_scalar("SELECT order_id FROM ordering.orders LIMIT 1").fetch_one(&fixture.sql).await?;
    fixture.environment.forget_reads().await?;

    let pool = fixture.pool()?;
    let (store, mut relay) = (Store::new(pool.clone()), Stepper::new(&fixture)?);
    let trip = |n| (n % 2 == 0).then(trip::trip);
    let orders: Vec<_> =
        (0..256).map(|n: i32| new_order(CreateOrderRequest { trip: trip(n), ..request_with_id() })).collect();
    store.insert(&orders).await?;
    let again: Vec<_> = orders.iter().cloned().map(renamed).collect();
    assert!(store.insert(&again).await?.is_empty());
    assert_eq!(store.earlier(&again.iter().collect::<Vec<_>>()).await?.len(), 256);
    let scope = Scope::built_in();
    let order = store.order(&scope, some).await?.expect("is there");
    assert!(store.order_by_number(&scope, order.number).await?.is_some());
    let ids: Vec<_> = orders.iter().map(|order| order.order_id).collect();
    assert_eq!((store.orders(&scope, &ids).await?.len(), store.sizes(&scope, &ids).await?.len()), (256, 256));
    for customer_id in [None, Some("c-77".to_string())] {
        let mut window = Window { customer_id, from: Some(OffsetDateTime::UNIX_EPOCH), below: None };
        for _ in 0..3 {
            let steps = store.walk(&scope, &window, 20).await?;
            window.below = Some(steps.last().expect("a page").position());
        }
    }
    let contents = store.contents(&scope, "c-77", None, 50).await?;
    let contents: Vec<_> = contents.into_iter().map(|row| (row.order_id, b"x".to_vec())).collect();
    assert_eq!(store.erase(&scope, contents).await?.len(), 50);
    let lease = relay.lead().await?;
    assert_eq!(relay.relay.publish_next(lease).await?, 1000);
    assert_eq!(relay.relay.publish_next(lease).await?, 1000);
    drop((relay, store));
    pool.close().await;

    let scanned: Vec<_> = fixture.environment.reads().await?.into_iter().filter(|(_, read)| *read > ROWS / 2).collect();
    assert!(scanned.is_empty(), "read for a few thousand rows: {scanned:?}");
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.trips").await, ROWS - 50 + 128);
    Ok(())
}

fn renamed(mut order: comanda_ordering::order::NewOrder) -> comanda_ordering::order::NewOrder {
    order.order_id = Uuid::now_v7();
    order
}

/// Makes all tables large behind the planner's back.
async fn fill(fixture: &Fixture) -> Result<()> {
    let tables = ["ordering.orders", "ordering.trips", "ordering.requests", "ordering.outbox", "state_machine.states"];
    for table in tables {
        run(&fixture.sql, &format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await?;
    }
    fixture.fill("default", ROWS, "'c-' || n % 200", "''", "now() - n * interval '1 second'").await?;
    run(
        &fixture.sql,
        "INSERT INTO ordering.requests (tenant, request_id, hash, order_id)
         SELECT tenant, gen_random_uuid(), '', order_id FROM ordering.orders;
         INSERT INTO ordering.outbox (order_ids, versions)
         SELECT array_agg(order_id), array_agg(1::bigint)
         FROM (SELECT order_id, row_number() OVER () % 1000 AS part FROM ordering.orders) o
         GROUP BY part;
         INSERT INTO ordering.trips SELECT order_id, tenant, 0, 0, 0, 0, 0, '', '' FROM ordering.orders;
         INSERT INTO state_machine.states
             (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
         SELECT order_id, tenant, 'delivery', 7, 1, 'received', 1, now(), now() FROM ordering.orders",
    )
    .await
}
