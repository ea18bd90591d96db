//! A statement that loses a deadlock is tried again.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_state_machine::{
    machine::{Command, Decision, decide},
    store::{Key, Move},
    workflow,
};

use crate::fixture::{Fixture, Stepper, TENANT};

#[tokio::test]
async fn a_batch_that_loses_a_deadlock_is_written_all_the_same() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (store, leader) = (fixture.store()?, Stepper::new(&fixture)?);
    let mut ids = fixture.place(2).await?;
    ids.sort();
    leader.adopt(&ids).await?;
    let delivery = workflow::shipped()?.remove(0);
    let mut moves = Vec::new();
    for id in &ids {
        let key = Key { tenant: TENANT, order_id: *id, request_id: None };
        let from = store.find(&[key]).await?.remove(0).expect("is adopted").state;
        let command = Command::Advance { to: None };
        let Decision::Step(step) = decide(&delivery, &from.status, &command) else { panic!("no step") };
        let (trigger, actor, reason) = (command.trigger(), "owner".into(), String::new());
        moves.push(Move { from, step, trigger, actor, reason, request: None });
    }

    // Another transaction holds the second row, and then wants the first, which the batch holds by then.
    let mut other = fixture.sql.begin().await?;
    // It never looks for deadlocks itself, so that the batch is the one that loses.
    sqlx::query("SET LOCAL deadlock_timeout = '1min'").execute(&mut *other).await?;
    let lock = "SELECT FROM state_machine.states WHERE order_id = $1 FOR UPDATE";
    sqlx::query(lock).bind(ids[1]).execute(&mut *other).await?;
    let writer = store.clone();
    let batch = tokio::spawn(async move { writer.apply(&moves).await });
    eventually("the batch waits for the second row", || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE 'comanda-%'";
        (fixture.number(waiting).await == 1).then_some(())
    })
    .await;
    sqlx::query(lock).bind(ids[0]).execute(&mut *other).await?;
    other.commit().await?;

    assert_eq!(batch.await??.len(), 2);
    eventually("Postgres counts the deadlock", || async {
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        (fixture.number(deadlocks).await > 0).then_some(())
    })
    .await;
    assert!(fixture.histories().await?.values().all(|history| history.len() == 2));
    Ok(())
}
