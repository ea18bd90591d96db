//! Orders come in.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_proto::{
    events::OrderPlaced,
    topics,
    v1::{AdvanceOrderRequest, Trigger},
    views::timestamp,
};
use prost::Message;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fixture::{Fixture, consume_again, run, stop, told};

#[tokio::test]
async fn a_topic_that_is_consumed_again_changes_nothing() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start(Some(0)).await?;
    let ids = fixture.place(50).await?;
    fixture.announce(&ids).await?;
    fixture.adopted(&ids).await;
    fixture.all_ended().await;
    let before = fixture.histories().await?;
    assert!(before.values().all(|history| history.len() == 4));
    replica.stop().await?;

    for group in ["again", "and-again"] {
        fixture.announce(&ids).await?;
        let tasks = consume_again(&fixture, group)?;
        fixture.consumed().await?;
        stop(tasks).await?;
    }
    let after = fixture.histories().await?;
    assert_eq!(ids.iter().map(|id| &after[id]).collect::<Vec<_>>(), before.values().collect::<Vec<_>>());
    assert_eq!(after.len(), 50 + 2 * 40);
    assert_eq!(fixture.unpublished().await, 2 * 40, "only the new orders are to be published");
    assert_eq!(fixture.dead_letters().await, 0);
    Ok(())
}

#[tokio::test]
async fn a_command_that_arrives_before_the_record_adopts_the_order() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let id = fixture.place_one().await?;
    let request = AdvanceOrderRequest { order_id: id.to_string(), expected_version: 1, ..Default::default() };
    let answer = client.advance_order(request).await?.into_inner();
    let transition = answer.transition.expect("has one");
    assert_eq!((transition.version, transition.to_status.as_str(), answer.replayed), (2, "preparing", false));

    fixture.announce(&[id]).await?;
    fixture.consumed().await?;
    let history = fixture.history(id).await?;
    assert_eq!(told(&history), [(1, Trigger::Create, "received"), (2, Trigger::Advance, "preparing")]);
    assert_eq!(history[1], transition);
    let created: OffsetDateTime = sqlx::query_scalar("SELECT create_time FROM ordering.orders WHERE order_id = $1")
        .bind(id)
        .fetch_one(&fixture.sql)
        .await?;
    assert_eq!((history[0].transition_time, fixture.dead_letters().await), (Some(timestamp(created)), 0));
    replica.stop().await
}

#[tokio::test]
async fn undecodable_records_are_looked_up_or_become_dead_letters_and_do_not_block_others() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start(None).await?;
    let known = fixture.place_one().await?;
    let unknown = Uuid::now_v7();
    let lost_workflow = OrderPlaced {
        order_id: fixture.place_one().await?.to_string(),
        workflow: "delivery".into(),
        workflow_revision: 99,
        status: "received".into(),
        create_time: Some(timestamp(OffsetDateTime::UNIX_EPOCH)),
        ..OrderPlaced::default()
    };
    let garbage = vec![0xff; 20];
    let records = [
        (known.to_string(), garbage.clone()),
        ("no order".to_string(), garbage.clone()),
        (String::new(), Vec::new()),
        (unknown.to_string(), garbage),
        (lost_workflow.order_id.clone(), lost_workflow.encode_to_vec()),
    ];
    let others = fixture.place(20).await?;
    fixture.announce(&others).await?;
    fixture.environment.produce(topics::ORDERS, &records).await?;
    fixture.consumed().await?;
    fixture.adopted(&others).await;
    assert_eq!(told(&fixture.history(known).await?), [(1, Trigger::Create, "received")]);

    let dead_letters = "SELECT convert_from(key, 'UTF8'), reason FROM state_machine.dead_letters ORDER BY 1";
    let found: Vec<(String, String)> = sqlx::query_as(dead_letters).fetch_all(&fixture.sql).await?;
    let mut expected = vec![
        (String::new(), "its key is no order id"),
        (lost_workflow.order_id, "there is no workflow delivery revision 99"),
        ("no order".to_string(), "its key is no order id"),
        (unknown.to_string(), "there is no such order"),
    ];
    expected.sort();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    let mut sorted = found.clone();
    sorted.sort();
    for ((key, reason), (expected_key, expected_reason)) in sorted.iter().zip(&expected) {
        assert_eq!(key, expected_key);
        assert!(reason.contains(expected_reason), "{reason}");
    }
    replica.stop().await?;

    // The same records once more: a record becomes a dead letter once.
    let tasks = consume_again(&fixture, "again")?;
    fixture.consumed().await?;
    stop(tasks).await?;
    assert_eq!(sqlx::query_as::<_, (String, String)>(dead_letters).fetch_all(&fixture.sql).await?, found);
    Ok(())
}

#[tokio::test]
async fn a_record_with_a_nul_in_a_text_becomes_a_dead_letter_and_does_not_block_others() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start(None).await?;
    let order_id = fixture.place_one().await?.to_string();
    let event = OrderPlaced {
        order_id: order_id.clone(),
        workflow: "deli\0very".into(),
        workflow_revision: 1,
        status: "received".into(),
        create_time: Some(timestamp(OffsetDateTime::UNIX_EPOCH)),
        ..OrderPlaced::default()
    };
    fixture.environment.produce(topics::ORDERS, &[(order_id, event.encode_to_vec())]).await?;
    fixture.consumed().await?;
    assert_eq!(fixture.dead_letters().await, 1);
    replica.stop().await
}

#[tokio::test]
async fn the_key_of_a_damaged_record_names_the_order_to_adopt() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start(None).await?;
    let ids = fixture.place(2).await?;
    let event = |order_id: Uuid, status: &str| OrderPlaced {
        order_id: order_id.to_string(),
        workflow: "delivery".into(),
        workflow_revision: 1,
        status: status.into(),
        create_time: Some(timestamp(OffsetDateTime::UNIX_EPOCH)),
        ..OrderPlaced::default()
    };
    let records = [
        (ids[0].to_string(), event(ids[0], "receiwed").encode_to_vec()),
        (ids[1].to_string(), event(Uuid::now_v7(), "received").encode_to_vec()),
    ];
    fixture.environment.produce(topics::ORDERS, &records).await?;
    fixture.consumed().await?;
    for id in ids {
        assert_eq!(told(&fixture.history(id).await?), [(1, Trigger::Create, "received")]);
        let stored = "SELECT status FROM state_machine.states WHERE order_id = $1";
        let status: Option<String> = sqlx::query_scalar(stored).bind(id).fetch_optional(&fixture.sql).await?;
        assert_eq!(status.as_deref(), Some("received"));
    }
    assert_eq!(fixture.dead_letters().await, 0);
    replica.stop().await
}

#[tokio::test]
async fn a_new_log_is_read_from_its_beginning() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start(None).await?;
    fixture.consumed().await?;
    // Ordering lost its log, said so, and published what it had to.
    fixture.environment.delete_topic(topics::ORDERS).await?;
    fixture.environment.create_topic(topics::ORDERS).await?;
    let ids = fixture.place(20).await?;
    fixture.announce(&ids).await?;
    run(&fixture.sql, "UPDATE ordering.topic_log SET topic_epoch = topic_epoch + 1").await?;
    eventually("the orders are adopted", || async {
        let states = fixture.number("SELECT count(*) FROM state_machine.states").await;
        (states == 60).then_some(())
    })
    .await;
    replica.stop().await
}
