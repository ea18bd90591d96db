use anyhow::Result;
use comanda_kit::testing::{Logs, eventually};
use comanda_proto::topics;

use crate::fixture::{Fixture, Stepper, create, id, request, run};

#[tokio::test]
async fn replicas_share_the_work_and_publish_each_order_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (first, first_client) = fixture.serve().await?;
    eventually("the first leads", || async {
        (fixture.number("SELECT epoch FROM ordering.lease").await == 1).then_some(())
    })
    .await;
    let (second, second_client) = fixture.serve().await?;
    let mut created = Vec::new();
    for _ in 0..50 {
        for client in [&first_client, &second_client] {
            created.push(id(&create(client, request()).await?));
        }
    }
    fixture.drained().await;

    // The leader stops: the other takes over at once, not when the lease runs out.
    first.stop().await?;
    let handed_over = "SELECT count(*) FROM ordering.lease WHERE expires_at <= now() OR epoch > 1";
    assert_eq!(fixture.number(handed_over).await, 1);
    for _ in 0..10 {
        created.push(id(&create(&second_client, request()).await?));
    }
    fixture.drained().await;
    assert_eq!(fixture.number("SELECT epoch FROM ordering.lease").await, 2);
    created.sort();
    assert_eq!(fixture.published_ids().await?, created);
    second.stop().await
}

#[tokio::test]
async fn an_order_that_commits_late_is_published_though_later_ones_went_before() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut relay = Stepper::new(&fixture)?;
    let mut late = fixture.sql.begin().await?;
    sqlx::raw_sql(
        "INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                      total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
         VALUES ('00000000-0000-7000-8000-000000000000', 'default', 1, 'c', '', '', '', '', 'CLP', 0, 0, 1, 'delivery', 7, 'received');
         INSERT INTO ordering.outbox (order_ids, versions) VALUES (ARRAY['00000000-0000-7000-8000-000000000000'::uuid], ARRAY[1])",
    )
    .execute(&mut *late)
    .await?;
    let later = fixture.place(10).await?;
    relay.publish_all().await?;
    assert_eq!(fixture.published_ids().await?, later);

    late.commit().await?;
    relay.publish_all().await?;
    assert_eq!(fixture.published_ids().await?.len(), 11);
    assert_eq!(fixture.published_ids().await?[0].to_string(), "00000000-0000-7000-8000-000000000000");
    Ok(())
}

#[tokio::test]
async fn a_crash_between_ack_and_delete_publishes_again_under_the_same_id() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut relay = Stepper::new(&fixture)?;
    fixture.place(5).await?;
    relay.publish_all().await?;
    // The pointers are still there when the next leader looks.
    run(&fixture.sql, "INSERT INTO ordering.outbox (order_ids, versions) SELECT array_agg(order_id), array_agg(1) FROM ordering.orders").await?;
    let mut next = Stepper::new(&fixture)?;
    run(&fixture.sql, "UPDATE ordering.lease SET expires_at = '-infinity'").await?;
    next.publish_all().await?;

    let mut records: Vec<_> = fixture.environment.records(topics::ORDERS).await?;
    assert_eq!((records.len(), fixture.unpublished().await), (10, 0));
    records.sort_by(|one, other| (&one.key, one.offset).cmp(&(&other.key, other.offset)));
    for twice in records.chunks(2) {
        assert_eq!((&twice[0].headers, &twice[0].payload), (&twice[1].headers, &twice[1].payload));
        assert_eq!((&twice[0].key, twice[0].partition), (&twice[1].key, twice[1].partition));
    }
    assert_eq!(fixture.number("SELECT topic_epoch FROM ordering.topic_log").await, 1);
    Ok(())
}

#[tokio::test]
async fn a_former_leader_deletes_nothing_and_notes_nothing() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut former, mut leader) = (Stepper::new(&fixture)?, Stepper::new(&fixture)?);
    fixture.place(5).await?;
    let old_lease = former.lead().await?;
    assert!(leader.elector.ask().await?.is_none(), "two replicas lead");
    // The former leader was stopped for longer than its lease lasts.
    run(&fixture.sql, "UPDATE ordering.lease SET expires_at = '-infinity'").await?;
    let new_lease = leader.lead().await?;
    assert!(new_lease.epoch > old_lease.epoch);

    assert!(former.relay.publish_next(old_lease).await.is_err(), "it must see that it leads no more");
    assert_eq!(fixture.unpublished().await, 5);
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.topic_offsets").await, 0);

    assert_eq!(leader.relay.publish_next(new_lease).await?, 5);
    assert_eq!(fixture.unpublished().await, 0);
    assert!(former.elector.ask().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_lost_log_is_noticed_by_the_next_ack_and_told_once() -> Result<()> {
    let (logs, _guard) = Logs::catch();
    let fixture = Fixture::new().await?;
    let mut relay = Stepper::new(&fixture)?;
    fixture.place(30).await?;
    relay.publish_all().await?;
    assert_eq!(logs.count("LOST THE LOG"), 0);

    fixture.environment.delete_topic(topics::ORDERS).await?;
    fixture.environment.create_topic(topics::ORDERS).await?;
    let again = fixture.place(30).await?;
    while fixture.unpublished().await > 0 {
        let lease = relay.lead().await?;
        // The first tries may fail while the producer still knows the old log.
        let _ = relay.relay.publish_next(lease).await;
    }
    assert_eq!(fixture.published_ids().await?, again);
    assert_eq!(fixture.number("SELECT topic_epoch FROM ordering.log_epoch").await, 2);
    assert_eq!(logs.count("KAFKA LOST THE LOG"), 1);
    assert_eq!(logs.count("comanda republish --all"), 1);
    Ok(())
}

#[tokio::test]
async fn a_lost_log_is_noticed_though_the_first_acks_of_the_new_one_could_not_be_noted() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut relay = Stepper::new(&fixture)?;
    fixture.place(30).await?;
    relay.publish_all().await?;

    fixture.environment.delete_topic(topics::ORDERS).await?;
    fixture.environment.create_topic(topics::ORDERS).await?;
    fixture.place(30).await?;
    let outdated = relay.lead().await?;
    run(&fixture.sql, "UPDATE ordering.lease SET epoch = epoch + 1").await?;
    // The new log grows past what was noted of the old one, and nothing of that can be noted.
    while fixture.environment.records(topics::ORDERS).await?.len() < 200 {
        relay.relay.publish_next(outdated).await.expect_err("it leads no more");
    }
    relay.publish_all().await?;
    assert_eq!(fixture.number("SELECT topic_epoch FROM ordering.log_epoch").await, 2);
    Ok(())
}

#[tokio::test]
async fn a_lost_log_is_noticed_by_a_new_leader_before_anything_is_published() -> Result<()> {
    let (logs, _guard) = Logs::catch();
    let fixture = Fixture::new().await?;
    let mut relay = Stepper::new(&fixture)?;
    fixture.place(30).await?;
    relay.publish_all().await?;
    relay.elector.while_working(async {}).await;

    fixture.environment.delete_topic(topics::ORDERS).await?;
    fixture.environment.create_topic(topics::ORDERS).await?;
    let replica = fixture.start().await?;
    eventually("the new leader says so", || async { (logs.count("KAFKA LOST THE LOG") == 1).then_some(()) }).await;
    assert_eq!(fixture.number("SELECT topic_epoch FROM ordering.log_epoch").await, 2);
    replica.stop().await
}
