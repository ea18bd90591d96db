//! One replica counts; the others serve, and one takes over.

use anyhow::Result;
use comanda_analytics::{App, Config};
use comanda_kit::{shutdown::Tasks, testing::eventually};
use comanda_proto::v1::CountOrdersRequest;
use sqlx::Connection;

use crate::{
    fixture::{Fixture, connect},
    lives::Past,
};

#[tokio::test]
async fn of_two_replicas_one_counts_and_the_other_takes_over() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (first, second) = (fixture.start()?, fixture.start()?);
    let (to_first, to_second) = (connect(&first).await?, connect(&second).await?);
    let mut pasts = vec![fixture.live("default", 30, 11).await?];
    fixture.publish(&pasts[0]).await?;
    fixture.counted(&to_first).await;
    let count = |client: &crate::fixture::Client| {
        let mut client = client.clone();
        async move { client.count_orders(CountOrdersRequest::default()).await.map(|answer| answer.into_inner().rows) }
    };
    assert_eq!(count(&to_first).await?, count(&to_second).await?);
    first.stop().await?;
    pasts.push(fixture.live("default", 30, 12).await?);
    fixture.publish(&pasts[1]).await?;
    fixture.counted(&to_second).await;
    fixture.is_exact(&pasts.iter().collect::<Vec<_>>()).await?;
    second.stop().await
}

/// A replica that ends as `kill -9` ends it: nothing of it runs any more, and what it had begun is neither finished nor taken back.
struct Doomed {
    runtime: tokio::runtime::Runtime,
}

impl Doomed {
    fn start(fixture: &Fixture) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (postgres, kafka) = (fixture.environment.postgres.clone(), fixture.environment.kafka.clone());
        runtime.block_on(async move {
            App::build(&Config::default(), &postgres, &kafka)?.start(&Tasks::new()).map(drop)
        })?;
        Ok(Self { runtime })
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_in_the_middle_of_a_batch_counts_nothing_twice_and_nothing_not_at_all() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past: Past = fixture.live("default", 40, 13).await?;
    // What the batch would write last is locked, so that it is in its middle until it is killed.
    let mut lock = sqlx::PgConnection::connect(&fixture.environment.postgres.database_url).await?;
    let fixture = &fixture;
    let doomed = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| scope.spawn(|| Doomed::start(fixture)).join().expect("does not panic"))
    })?;
    eventually("the partitions are read", || async {
        let read: i64 =
            sqlx::query_scalar("SELECT count(*) FROM analytics.offsets").fetch_one(&fixture.sql).await.ok()?;
        (read == 6).then_some(())
    })
    .await;
    sqlx::query("BEGIN").execute(&mut lock).await?;
    sqlx::query("LOCK TABLE analytics.transitions, analytics.couriers IN ACCESS EXCLUSIVE MODE")
        .execute(&mut lock)
        .await?;
    fixture.publish(&past).await?;
    eventually("a batch is in its middle", || async {
        let blocked = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%transitions%'";
        let blocked: i64 = sqlx::query_scalar(blocked).fetch_one(&fixture.sql).await.ok()?;
        (blocked > 0).then_some(())
    })
    .await;
    doomed.kill();
    sqlx::query("ROLLBACK").execute(&mut lock).await?;
    let counted: i64 = sqlx::query_scalar("SELECT count(*) FROM analytics.transitions").fetch_one(&fixture.sql).await?;
    assert_eq!(counted, 0, "the batch was not finished");
    let (replica, client) = fixture.serve().await?;
    fixture.counted(&client).await;
    fixture.is_exact(&[&past]).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_leader_without_its_lease_counts_nothing_more() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 30, 14).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.counted(&client).await;
    // Somebody else's from now on, for a while.
    let epoch: i64 = sqlx::query_scalar(
        "UPDATE analytics.lease SET holder = gen_random_uuid(), epoch = epoch + 1, expires_at = now() + interval '5 seconds'
         RETURNING epoch",
    )
    .fetch_one(&fixture.sql)
    .await?;
    fixture.publish(&past).await?;
    eventually("the other's lease is over", || async {
        let looked = "SELECT (SELECT count(*) FROM analytics.gates), (SELECT expires_at < now() OR epoch <> $1 FROM analytics.lease)";
        let (counted, is_over): (i64, bool) = sqlx::query_as(looked).bind(epoch).fetch_one(&fixture.sql).await.ok()?;
        assert!(is_over || counted == 0, "counted under another's lease");
        is_over.then_some(())
    })
    .await;
    fixture.counted(&client).await;
    fixture.is_exact(&[&past]).await?;
    replica.stop().await
}
