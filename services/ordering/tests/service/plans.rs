//! Batches over UNNEST get wrong plans on young statistics (ARCHITECTURE.md, "Plans"): scans of whole tables, ten times the time.
//! Postgres counts what each index and table was read: that tells what plans were run, not what plans were hoped for.

use anyhow::Result;
use comanda_ordering::{
    api::TENANT,
    store::{Store, Window},
};
use uuid::Uuid;

use crate::fixture::{Fixture, Stepper, new_order, request_with_id, run};

const ROWS: i64 = 20_000;

#[tokio::test]
async fn no_statement_reads_a_whole_table_that_was_filled_and_never_analyzed() -> Result<()> {
    let fixture = Fixture::new().await?;
    fill(&fixture).await?;
    let some: Uuid = sqlx::query_scalar("SELECT order_id FROM ordering.orders LIMIT 1").fetch_one(&fixture.sql).await?;
    run(&fixture.sql, "SELECT pg_stat_reset()").await?;

    let pool = fixture.pool()?;
    let (store, mut relay) = (Store::new(pool.clone()), Stepper::new(&fixture)?);
    let orders: Vec<_> = (0..256).map(|_| new_order(request_with_id())).collect();
    store.insert(TENANT, &orders).await?;
    let requests: Vec<_> = orders.iter().filter_map(|order| Some(order.request.as_ref()?.0)).collect();
    assert_eq!(store.earlier(TENANT, &requests).await?.len(), 256);
    assert!(store.insert(TENANT, &orders.iter().cloned().map(renamed).collect::<Vec<_>>()).await?.is_empty());
    let order = store.order(TENANT, some).await?.expect("is there");
    assert!(store.order_by_number(TENANT, order.number).await?.is_some());
    for customer_id in [None, Some("c-77".to_string())] {
        let first = store.list(TENANT, &Window { customer_id: customer_id.clone(), ..Window::default() }, 51).await?;
        let after = first.last().map(|row| (row.create_time, row.order_id));
        assert!(!store.list(TENANT, &Window { customer_id, after, ..Window::default() }, 51).await?.is_empty());
    }
    let lease = relay.lead().await?;
    assert_eq!(relay.relay.publish_next(lease).await?, 1000);
    assert_eq!(relay.relay.publish_next(lease).await?, 1000);
    drop((relay, store));
    pool.close().await;

    let scanned: Vec<_> = fixture.environment.reads().await?.into_iter().filter(|(_, read)| *read > ROWS / 2).collect();
    assert!(scanned.is_empty(), "read for a few thousand rows: {scanned:?}");
    Ok(())
}

fn renamed(mut order: comanda_ordering::order::NewOrder) -> comanda_ordering::order::NewOrder {
    order.order_id = Uuid::now_v7();
    order
}

/// Makes all tables large behind the planner's back.
async fn fill(fixture: &Fixture) -> Result<()> {
    let tables = ["ordering.orders", "ordering.requests", "ordering.outbox", "state_machine.states"];
    for table in tables {
        run(&fixture.sql, &format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await?;
    }
    run(
        &fixture.sql,
        &format!(
            "INSERT INTO ordering.orders (order_id, tenant, customer_id, customer_name, email, locale, content, workflow,
                                          workflow_revision, first_status, create_time)
             SELECT gen_random_uuid(), 'default', 'c-' || n % 200, '', '', '', '', 'delivery', 7, 'received',
                    now() - n * interval '1 second'
             FROM generate_series(1, {ROWS}) n;
             INSERT INTO ordering.requests (tenant, request_id, hash, order_id)
             SELECT tenant, gen_random_uuid(), '', order_id FROM ordering.orders;
             INSERT INTO ordering.outbox SELECT order_id, 1 FROM ordering.orders;
             INSERT INTO state_machine.states
                 (order_id, workflow, workflow_revision, version, status, phase, status_time, due_at)
             SELECT order_id, 'delivery', 7, 1, 'received', 1, now(), now() FROM ordering.orders"
        ),
    )
    .await
}
