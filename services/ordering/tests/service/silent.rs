//! While the database does not answer, every caller gets an error in time.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use sqlx::Executor;
use tonic::Code;

use crate::fixture::{Client, Fixture, request_with_id};

/// Longer than one caller may wait, shorter than if callers waited one after the other.
const IN_TIME: Duration = Duration::from_secs(9);

#[tokio::test]
async fn callers_do_not_wait_for_the_workflows_one_after_the_other() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    // The workflows are not cached yet, so every caller asks for them.
    let mut locked = fixture.sql.begin().await?;
    locked.execute("LOCK TABLE state_machine.workflows IN ACCESS EXCLUSIVE MODE").await?;

    let began = Instant::now();
    let calls = (0..20).map(|_| {
        let mut client = client.clone();
        async move { client.create_order(request_with_id()).await }
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.expect_err("nothing is known").code(), Code::Unavailable);
    }
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    locked.rollback().await?;
    drop(client);
    replica.stop().await
}

#[tokio::test]
async fn callers_in_the_queue_get_an_error_in_time() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    client.clone().create_order(request_with_id()).await?;
    let mut locked = fixture.sql.begin().await?;
    locked.execute("LOCK TABLE ordering.orders IN ACCESS EXCLUSIVE MODE").await?;

    // As many as fill the queue, which a writer that fails every 2 s empties in twice the time that they have.
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::new(replica.connect().await?));
    }
    let calls = (0..1000).map(|n| {
        let mut client = clients[n % clients.len()].clone();
        async move {
            let began = Instant::now();
            (client.create_order(request_with_id()).await, began.elapsed())
        }
    });
    for (answer, took) in join_all(calls).await {
        assert_eq!(answer.expect_err("the table is locked").code(), Code::Unavailable);
        // Those at the end of the queue would wait twice as long as they have, 12 s.
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    locked.rollback().await?;
    drop((client, clients));
    replica.stop().await
}
