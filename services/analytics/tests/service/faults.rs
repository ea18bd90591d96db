//! Databases and orders that go away.

use anyhow::Result;
use comanda_analytics::Config;
use comanda_kit::{
    access::Access,
    postgres,
    secret::Secret,
    testing::{Environment, eventually},
};
use comanda_proto::{
    topics,
    v1::{ReportFilter, ReportRatesRequest},
    views::timestamp,
};
use time::Duration;

use crate::{
    fixture::{Fixture, connect},
    lives::{BEGINNING, Past, records},
};

#[tokio::test]
async fn the_numbers_may_have_a_database_of_their_own() -> Result<()> {
    let fixture = Fixture::new().await?;
    let own = Environment::without_topics().await?;
    postgres::migrate(&own.postgres).await?;
    let past = fixture.live("default", 20, 51).await?;
    let config =
        Config { analytics_database_url: Some(Secret::new(own.postgres.database_url.clone())), ..Config::default() };
    let replica = fixture.start_as(Access::default(), &config)?;
    let mut client = connect(&replica).await?;
    // The first versions are missing on the topic: they are read from the other database.
    let rest: Vec<_> = fixture.transitions(&past.order_ids).await?.into_iter().skip(1).collect();
    fixture.environment.produce(topics::ORDER_TRANSITIONS, &rest).await?;
    fixture.counted(&client).await;
    let filter = ReportFilter {
        from_time: Some(timestamp(BEGINNING - Duration::DAY)),
        before_time: Some(timestamp(BEGINNING + Duration::days(20))),
        ..ReportFilter::default()
    };
    let rows = client.report_rates(ReportRatesRequest { filter: Some(filter) }).await?.into_inner().rows;
    assert_eq!(rows.iter().map(|row| row.created_count).sum::<i64>(), 20);
    assert_eq!(fixture.moves().await?.len(), 0, "nothing is in the database of the others");
    replica.stop().await
}

#[tokio::test]
async fn a_database_that_breaks_its_connections_delays_the_numbers_and_changes_none() -> Result<()> {
    let fixture = Fixture::new().await?;
    let pasts: Vec<Past> = vec![fixture.live("default", 40, 52).await?, fixture.live("default", 40, 53).await?];
    let (replica, client) = fixture.serve().await?;
    for past in &pasts {
        for part in fixture.transitions(&past.order_ids).await?.chunks(25) {
            fixture.environment.produce(topics::ORDER_TRANSITIONS, part).await?;
            let broken = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND application_name LIKE 'comanda-analytics%'";
            sqlx::query(broken).execute(&fixture.sql).await?;
        }
        fixture.environment.produce(topics::ASSIGNMENTS, &records(&past.assignments)).await?;
    }
    fixture.counted(&client).await;
    fixture.is_exact(&pasts.iter().collect::<Vec<_>>()).await?;
    replica.stop().await
}

#[tokio::test]
async fn partitions_that_are_added_are_counted() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    fixture.counted(&client).await;
    fixture.environment.add_partitions(topics::ORDER_TRANSITIONS, 5).await?;
    let partitions = "SELECT count(*) FROM analytics.offsets WHERE topic = 'order-transitions'";
    eventually("they are read", || async {
        let read: i64 = sqlx::query_scalar(partitions).fetch_one(&fixture.sql).await.ok()?;
        (read == 5).then_some(())
    })
    .await;
    let past = fixture.live("default", 40, 54).await?;
    fixture.publish(&past).await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&past]).await?;
    replica.stop().await
}
