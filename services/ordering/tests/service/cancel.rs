use std::time::Duration;

use anyhow::Result;
use comanda_kit::testing::eventually;
use futures::future::join_all;
use sqlx::Executor;
use tonic::Request;

use crate::fixture::{Fixture, create, id, request, request_with_id};

#[tokio::test]
async fn callers_that_give_up_do_not_lose_the_orders_of_others() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    let calls = (0..600u64).map(|call| {
        let mut client = client.clone();
        async move {
            let patience = Duration::from_micros(call * 7919 % 500_000);
            let mut request = Request::new(request_with_id());
            match call % 3 {
                // Innocent.
                0 => Some(client.create_order(request).await),
                // A deadline that the server knows.
                1 => {
                    request.set_timeout(patience);
                    Some(client.create_order(request).await)
                }
                // A caller that goes away.
                _ => tokio::time::timeout(patience, client.create_order(request)).await.ok(),
            }
        }
    });
    let answers = join_all(calls).await.into_iter().flatten();
    let accepted: Vec<_> = answers.filter_map(|answer| Some(id(&answer.ok()?.into_inner().order?))).collect();
    assert!((200..600).contains(&accepted.len()), "{} calls were answered", accepted.len());

    eventually("no transaction is left open", || async {
        let open = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        (fixture.number(open).await == 0).then_some(())
    })
    .await;
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM ordering.orders WHERE order_id = ANY ($1)")
        .bind(&accepted)
        .fetch_one(&fixture.sql)
        .await?;
    assert_eq!(found, accepted.len() as i64);
    fixture.drained().await;
    assert_eq!(fixture.published().await?.len() as i64, fixture.number("SELECT count(*) FROM ordering.orders").await);
    create(&client, request()).await?;
    replica.stop().await
}

/// A future that is dropped inside `pool.begin()` leaves a connection like this behind (sqlx 0.9.0).
#[tokio::test]
async fn a_connection_that_comes_back_inside_a_transaction_is_not_lent_again() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let mut settings = fixture.environment.postgres.clone();
    settings.database_connections = 1;
    let pool = comanda_kit::postgres::pool(&settings, "ordering")?;
    let backend = || async { sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&pool).await };

    let healthy = backend().await?;
    assert_eq!(backend().await?, healthy, "a clean connection is kept");
    for poison in ["BEGIN", "BEGIN; SELECT 1", "BEGIN; INSERT INTO nowhere VALUES (1)"] {
        let before = backend().await?;
        let _ = pool.acquire().await?.execute(poison).await;
        pool.execute("INSERT INTO outbox (order_ids, versions) VALUES (ARRAY[gen_random_uuid()], ARRAY[1])").await?;
        assert_ne!(backend().await?, before, "{poison}");
    }
    assert_eq!(fixture.unpublished().await, 3, "an acknowledged write must be visible to others");
    Ok(())
}
