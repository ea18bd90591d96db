//! A rebuild counts the same numbers from the history, while the present ones go on.

use anyhow::Result;
use comanda_analytics::operator::{Options, Progress};
use comanda_proto::topics;

use crate::{
    fixture::{Fixture, state},
    numbers::difference,
};

#[tokio::test]
async fn a_rebuild_gives_the_same_numbers() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 50, 21).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.publish(&past).await?;
    assert_eq!(fixture.counted(&client).await.generation, 1);
    let (moves, jobs) = (fixture.moves().await?, fixture.jobs().await?);
    assert_eq!(fixture.rebuild(Options::default()).await?, 2);
    assert_eq!(difference(&fixture.moves().await?, &moves), Vec::<String>::new());
    assert_eq!(difference(&fixture.jobs().await?, &jobs), Vec::<String>::new());
    fixture.is_exact(&[&past]).await?;
    let state = state(&client).await.expect("answers");
    assert_eq!((state.generation, state.rebuild), (2, None));
    let old = "SELECT (SELECT count(*) FROM analytics.gates WHERE generation <> 2)
                    + (SELECT count(*) FROM analytics.transitions WHERE generation <> 2)
                    + (SELECT count(*) FROM analytics.couriers WHERE generation <> 2)";
    assert_eq!(sqlx::query_scalar::<_, i64>(old).fetch_one(&fixture.sql).await?, 0, "the old numbers are removed");
    replica.stop().await
}

#[tokio::test]
async fn numbers_that_are_wrong_are_right_after_a_rebuild() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 20, 22).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.publish(&past).await?;
    fixture.counted(&client).await;
    sqlx::query("UPDATE analytics.transitions SET items = items + 1, dwell_us = 7 WHERE span = 1")
        .execute(&fixture.sql)
        .await?;
    sqlx::query("UPDATE analytics.couriers SET allotted = 0").execute(&fixture.sql).await?;
    fixture.rebuild(Options::default()).await?;
    fixture.is_exact(&[&past]).await?;
    replica.stop().await
}

/// Breaks a rebuild off where it reports its progress.
struct BrokenOff;

impl Progress for BrokenOff {
    fn begin(&mut self, _: u64, _: Option<u64>) {}

    fn folded(&mut self, _: u64) {
        panic!("as if the command was killed here");
    }
}

#[tokio::test]
async fn a_rebuild_that_was_broken_off_goes_on_while_records_come_and_counts_each_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let first = fixture.live("default", 30, 23).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.publish(&first).await?;
    fixture.counted(&client).await;
    let operator = fixture.operator()?;
    let broken = tokio::spawn(async move { operator.rebuild(Options::default(), &mut BrokenOff).await });
    broken.await.expect_err("it was broken off");
    let rebuild = state(&client).await.and_then(|state| state.rebuild).expect("it is going on");
    assert_eq!((rebuild.generation, rebuild.folded_orders), (2, 30));
    // What comes now is counted into both, repetitions of what the rebuild has folded, too.
    let second = fixture.live("default", 30, 24).await?;
    fixture.publish(&second).await?;
    fixture.publish(&first).await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&first, &second]).await?;
    // This one's records come only after the rebuild.
    let third = fixture.live("default", 30, 25).await?;
    assert_eq!(fixture.rebuild(Options::default()).await?, 2);
    fixture.is_exact(&[&first, &second, &third]).await?;
    fixture.publish(&third).await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&first, &second, &third]).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_rebuild_beside_the_leader_loses_nothing_between() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    let mut pasts = Vec::new();
    for seed in 30..34 {
        pasts.push(fixture.live("default", 40, seed).await?);
    }
    let publishing = async {
        for past in &pasts {
            fixture.publish(past).await?;
        }
        anyhow::Ok(())
    };
    let rebuilding = async {
        for _ in 0..3 {
            fixture.rebuild(Options::default()).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(publishing, rebuilding)?;
    fixture.counted(&client).await;
    fixture.is_exact(&pasts.iter().collect::<Vec<_>>()).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_rebuild_does_not_forget_purged_orders_unless_it_is_told_to() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 20, 26).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.publish(&past).await?;
    fixture.counted(&client).await;
    let before = fixture.moves().await?;
    let purged = &past.order_ids[..5];
    for statement in [
        "DELETE FROM state_machine.transitions WHERE order_id = ANY ($1)",
        "DELETE FROM ordering.orders WHERE order_id = ANY ($1)",
        "DELETE FROM dispatch.events WHERE order_id = ANY ($1)",
    ] {
        sqlx::query(statement).bind(purged).execute(&fixture.sql).await?;
    }
    let refused = fixture.rebuild(Options::default()).await.expect_err("5 orders are gone").to_string();
    assert!(refused.contains("lacks 5 orders") && refused.contains("--forget-purged"), "{refused}");
    assert_eq!(fixture.moves().await?, before, "the numbers stay");
    // It can be asked again, or start from the beginning.
    fixture.rebuild(Options { restart: true, forget_purged: false }).await.expect_err("still gone");
    fixture.rebuild(Options { restart: false, forget_purged: true }).await?;
    assert_eq!(difference(&fixture.moves().await?, &fixture.expected_moves().await?), Vec::<String>::new());
    // What is left counts on as before.
    fixture.environment.produce(topics::ORDER_TRANSITIONS, &fixture.transitions(&past.order_ids).await?).await?;
    fixture.counted(&client).await;
    assert_eq!(difference(&fixture.moves().await?, &fixture.expected_moves().await?), Vec::<String>::new());
    replica.stop().await
}
