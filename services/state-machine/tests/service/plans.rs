//! Batches over UNNEST get wrong plans on young statistics: scans of whole tables, ten times the time. Postgres counts what each
//! index and table was read: that tells what plans were run, not what plans were hoped for.

use anyhow::Result;
use comanda_kit::{postgres, relay::Relay};
use comanda_proto::{topics, v1::Workflow};
use comanda_state_machine::{
    edges::Edges,
    machine::{Command, Decision, decide},
    store::{Answered, Asked, Key, Move, SCHEMA, Store},
    workflow,
};
use uuid::Uuid;

use crate::fixture::{Fixture, Stepper, run, scope};

const ROWS: i64 = 20_000;

#[tokio::test]
async fn no_statement_reads_a_whole_table_that_was_filled_and_never_analyzed() -> Result<()> {
    let fixture = Fixture::new().await?;
    fill(&fixture).await?;
    every_statement_reads_little(&fixture).await
}

#[tokio::test]
async fn no_statement_reads_the_whole_outbox_after_it_was_vacuumed_while_it_was_empty() -> Result<()> {
    let fixture = Fixture::new().await?;
    fill(&fixture).await?;
    // As between two bursts: its pages stay, and count as empty.
    run(&fixture.sql, "CREATE TABLE kept AS SELECT * FROM state_machine.outbox").await?;
    run(&fixture.sql, "DELETE FROM state_machine.outbox").await?;
    run(&fixture.sql, "VACUUM (TRUNCATE off) state_machine.outbox").await?;
    run(&fixture.sql, "INSERT INTO state_machine.outbox SELECT * FROM kept").await?;
    every_statement_reads_little(&fixture).await
}

async fn every_statement_reads_little(fixture: &Fixture) -> Result<()> {
    run(
        &fixture.sql,
        "UPDATE state_machine.states SET due_at = now()
         WHERE order_id IN (SELECT order_id FROM state_machine.states ORDER BY order_id LIMIT 500)",
    )
    .await?;
    let adopted =
        sqlx::query_scalar("SELECT order_id FROM state_machine.states ORDER BY order_id OFFSET 500 LIMIT 500");
    let adopted: Vec<Uuid> = adopted.fetch_all(&fixture.sql).await?;
    let new = fixture.place(500).await?;
    fixture.environment.forget_reads().await?;

    let pool = postgres::pool(&fixture.environment.postgres, SCHEMA)?;
    let store = Store::new(pool.clone(), None);
    let leader = Stepper::new(fixture)?;
    let lease = leader.lead().await?;
    let delivery = workflow::shipped()?.remove(0);
    let placed = store.placed(&new).await?;
    assert_eq!(placed.len(), 500);
    let dwell = comanda_state_machine::machine::dwell(&delivery, "received");
    assert_eq!(store.adopt(placed.into_iter().map(|placed| (placed, dwell)).collect()).await?, 500);
    let key = |order_id: &Uuid| Key { tenant: "default", order_id: *order_id, request_id: Some(Uuid::new_v4()) };
    let keys: Vec<_> = adopted.iter().chain(&new).map(key).collect();
    assert_eq!(store.placed_for(&keys).await?.len(), 1000);
    let (mut moves, mut answers) = (Vec::new(), Vec::new());
    for found in store.find(&keys).await? {
        let from = found.expect("is adopted").state;
        let Decision::Step(step) = decide(&delivery, &from.status, &Command::Timer) else { panic!("no step") };
        let trigger = Command::Timer.trigger();
        let request = Some(Asked { request_id: Uuid::new_v4(), trigger, status: String::new() });
        let asked = Asked { request_id: Uuid::new_v4(), trigger, status: String::new() };
        answers.push((from.order_id, Answered { asked, version: from.version + 1 }));
        moves.push(Move { from, step, trigger, actor: String::new(), reason: String::new(), request });
    }
    assert_eq!(store.apply(&moves).await?.len(), 1000);
    assert_eq!(store.note_answered(&answers).await?.len(), 1000);
    let (ids, versions): (Vec<_>, Vec<_>) = answers.iter().map(|(id, answered)| (*id, answered.version)).unzip();
    assert_eq!(store.transitions(&ids, &versions).await?.len(), 1000);
    assert_eq!(store.history(&scope(), adopted[0], 1, 1).await?.len(), 1);
    let mut edges = Edges::default();
    edges.add(&Workflow { revision: 1, ..delivery });
    assert_eq!(store.fire(&edges, None, 500, lease).await?.len(), 500);
    assert!(store.fire(&edges, None, 500, lease).await?.is_empty());
    assert!(store.next_due_seconds(None).await?.is_some());
    let topic = fixture.environment.kafka.topic(topics::ORDER_TRANSITIONS);
    let mut relay = Relay::new(pool.clone(), store, fixture.environment.kafka.clone(), topic, Default::default())?;
    assert_eq!(relay.publish_next(lease).await?, 1000);
    assert_eq!(relay.publish_next(lease).await?, 1000);
    drop((relay, leader));
    pool.close().await;

    let scanned: Vec<_> = fixture.environment.reads().await?.into_iter().filter(|(_, read)| *read > ROWS / 2).collect();
    assert!(scanned.is_empty(), "read for a few thousand rows: {scanned:?}");
    Ok(())
}

/// Makes all tables large behind the planner's back.
async fn fill(fixture: &Fixture) -> Result<()> {
    let tables = [
        "ordering.orders",
        "state_machine.states",
        "state_machine.transitions",
        "state_machine.requests",
        "state_machine.outbox",
    ];
    for table in tables {
        run(&fixture.sql, &format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await?;
    }
    run(
        &fixture.sql,
        &format!(
            "INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                          total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
             SELECT gen_random_uuid(), 'default', number, 'c', '', '', '', '', 'EUR', 1, 0, 1, 'delivery', 1, 'received'
             FROM generate_series(1, {ROWS}) AS n (number);
             INSERT INTO state_machine.states
                 (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
             SELECT order_id, tenant, 'delivery', 1, 1, 'received', 1, create_time, now() + interval '1 hour' FROM ordering.orders;
             INSERT INTO state_machine.transitions
                 (order_id, version, tenant, from_status, to_status, phase, transition_time, trigger, actor, reason, due_at)
             SELECT order_id, 1, tenant, '', status, phase, status_time, 1, '', '', due_at FROM state_machine.states;
             INSERT INTO state_machine.requests SELECT order_id, gen_random_uuid(), 3, '', 1 FROM ordering.orders;
             INSERT INTO state_machine.outbox (order_ids, versions)
             SELECT ARRAY[order_id], ARRAY[1] FROM ordering.orders"
        ),
    )
    .await
}
