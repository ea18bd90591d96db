//! Whatever comes on the topics, each version of each order counts once.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_proto::topics;
use uuid::Uuid;

use crate::{
    fixture::Fixture,
    lives::{Chance, interleaved, records},
};

#[tokio::test]
async fn repeated_and_late_records_count_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut chance = Chance::new(1);
    let (past, other) = (fixture.live("default", 60, 1).await?, fixture.live("acme", 20, 2).await?);
    let (replica, client) = fixture.serve().await?;
    let all = [past.order_ids.clone(), other.order_ids.clone()].concat();
    let transitions = interleaved(fixture.transitions(&all).await?, &mut chance);
    let assignments = records(&[past.assignments.clone(), other.assignments.clone()].concat());
    // Each half is followed by everything before it, and a part comes late, after versions above it.
    let (first, second) = transitions.split_at(transitions.len() / 2);
    let mut late = second.to_vec();
    chance.shuffle(&mut late);
    for part in [first, first, &late, &transitions] {
        fixture.environment.produce(topics::ORDER_TRANSITIONS, part).await?;
        fixture.counted(&client).await;
    }
    for part in [&assignments[..assignments.len() / 3], &assignments, &assignments] {
        fixture.environment.produce(topics::ASSIGNMENTS, part).await?;
    }
    fixture.counted(&client).await;
    fixture.is_exact(&[&past, &other]).await?;
    replica.stop().await
}

#[tokio::test]
async fn what_is_missing_before_a_record_is_read_from_the_history() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 40, 3).await?;
    let (replica, client) = fixture.serve().await?;
    // Only the last record of each order was not lost.
    let last = |records: Vec<(String, Vec<u8>)>| {
        let is_last = |index: usize| records.get(index + 1).is_none_or(|next| next.0 != records[index].0);
        (0..records.len()).filter(|index| is_last(*index)).map(|index| records[index].clone()).collect::<Vec<_>>()
    };
    fixture.environment.produce(topics::ORDER_TRANSITIONS, &last(fixture.transitions(&past.order_ids).await?)).await?;
    fixture.environment.produce(topics::ASSIGNMENTS, &last(records(&past.assignments))).await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&past]).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_lost_log_that_is_published_again_counts_nothing_twice() -> Result<()> {
    let fixture = Fixture::new().await?;
    let before = fixture.live("default", 30, 4).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.publish(&before).await?;
    fixture.counted(&client).await;
    // These were published to the log that is lost, and never read.
    let unread = fixture.live("default", 10, 5).await?;
    fixture.lose_log(topics::ORDER_TRANSITIONS).await?;
    fixture.lose_log(topics::ASSIGNMENTS).await?;
    fixture.publish(&before).await?;
    fixture.publish(&unread).await?;
    let epochs = "SELECT count(*) FROM analytics.offsets WHERE topic_epoch = 2";
    eventually("both new logs are read", || async {
        let read: i64 = sqlx::query_scalar(epochs).fetch_one(&fixture.sql).await.ok()?;
        (read == 6).then_some(())
    })
    .await;
    fixture.counted(&client).await;
    fixture.is_exact(&[&before, &unread]).await?;
    replica.stop().await
}

#[tokio::test]
async fn an_undecodable_record_counts_what_the_history_has_of_its_order() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 5, 6).await?;
    let (replica, client) = fixture.serve().await?;
    let broken: Vec<_> = past.order_ids.iter().map(|order_id| (order_id.to_string(), b"no event".to_vec())).collect();
    fixture.environment.produce(topics::ORDER_TRANSITIONS, &broken).await?;
    fixture.environment.produce(topics::ASSIGNMENTS, &records(&past.assignments)).await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&past]).await?;
    // Now that the orders are known, such a record says nothing new.
    fixture.environment.produce(topics::ORDER_TRANSITIONS, &broken).await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&past]).await?;
    assert_eq!(fixture.operator()?.count_dead_letters(10).await?, 0);
    replica.stop().await
}

#[tokio::test]
async fn a_record_of_nothing_becomes_a_dead_letter_and_holds_up_no_other() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 20, 7).await?;
    let (replica, client) = fixture.serve().await?;
    let nobody = (Uuid::now_v7().to_string(), b"no event".to_vec());
    let mut transitions = fixture.transitions(&past.order_ids).await?;
    transitions.insert(7, ("no order id".to_owned(), Vec::new()));
    transitions.insert(20, nobody);
    fixture.environment.produce(topics::ORDER_TRANSITIONS, &transitions).await?;
    fixture.environment.produce(topics::ASSIGNMENTS, &records(&past.assignments)).await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&past]).await?;
    let operator = fixture.operator()?;
    let letters = operator.dead_letters(10).await?;
    assert_eq!(letters.len(), 2, "{letters:?}");
    operator.forget_dead_letter(&letters[0]).await?;
    assert_eq!(operator.count_dead_letters(10).await?, 1);
    replica.stop().await
}
