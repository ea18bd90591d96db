//! What is remembered of orders that ended, and for how long.

use anyhow::Result;
use comanda_kit::testing::eventually;
use uuid::Uuid;

use crate::fixture::Fixture;

#[tokio::test]
async fn an_order_is_remembered_until_it_is_purged_however_long_ago_it_ended() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 30, 61).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.publish(&past).await?;
    fixture.counted(&client).await;
    replica.stop().await?;
    let (moves, jobs) = (fixture.moves().await?, fixture.jobs().await?);
    let aged = "UPDATE analytics.gates SET end_time = now() - interval '400 days' WHERE end_time IS NOT NULL RETURNING order_id";
    let ended: Vec<Uuid> = sqlx::query_scalar(aged).fetch_all(&fixture.sql).await?;
    assert!(ended.len() > 5);
    let (purged, kept) = ended.split_at(3);
    sqlx::query("DELETE FROM ordering.orders WHERE order_id = ANY ($1)").bind(purged).execute(&fixture.sql).await?;
    // A new leader looks at old gates at once.
    let (replica, client) = fixture.serve().await?;
    let remembered = "SELECT count(*) FROM analytics.gates WHERE order_id = ANY ($1)";
    eventually("purged orders are forgotten", || async {
        let count: i64 = sqlx::query_scalar(remembered).bind(purged).fetch_one(&fixture.sql).await.ok()?;
        (count == 0).then_some(())
    })
    .await;
    let topic_1 = "SELECT count(*) FROM analytics.gates WHERE topic = 1 AND order_id = ANY ($1)";
    let count: i64 = sqlx::query_scalar(topic_1).bind(kept).fetch_one(&fixture.sql).await?;
    assert_eq!(count, kept.len() as i64, "orders that exist may be published again");
    let again: Vec<_> = past.order_ids.iter().filter(|order_id| !purged.contains(order_id)).copied().collect();
    fixture.environment.produce(comanda_proto::topics::ORDER_TRANSITIONS, &fixture.transitions(&again).await?).await?;
    fixture.counted(&client).await;
    assert_eq!((fixture.moves().await?, fixture.jobs().await?), (moves, jobs), "nothing counts twice");
    replica.stop().await
}
