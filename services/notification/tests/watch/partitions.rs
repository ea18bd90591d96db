//! A topic that gets more partitions while everything runs.

use std::collections::BTreeSet;

use comanda_proto::{topics, v1::watch_orders_request::Start};

use crate::fixture::*;

#[tokio::test]
async fn partitions_that_are_added_are_read_and_tokens_of_before_still_hold() {
    let world = World::new().await;
    let mut config = config();
    config.watch_partitions_ms = 200;
    let (first, second) = (world.replica(config.clone()).await, world.replica(config.clone()).await);
    let order_id = world.order("ana").await;
    let mut stream = follow(&mut client(&first).await, None, now()).await.expect("opened");
    let (_, token) = told(&mut stream).await;
    world.step(order_id).await;
    let mut all = moves(&mut stream, 1).await.0;

    world.env.add_partitions(topics::ORDER_TRANSITIONS, 9).await.expect("added");
    let mut expected = BTreeSet::new();
    for _ in 0..60 {
        expected.insert((world.order("ana").await, 1));
    }
    let records = world.env.records(topics::ORDER_TRANSITIONS).await.expect("readable");
    assert!(records.iter().any(|record| record.partition >= 3), "some orders went to the new partitions");
    all.extend(moves(&mut stream, expected.len()).await.0);
    assert_eq!(all.iter().skip(1).copied().collect::<BTreeSet<_>>(), expected);

    // A replica that was there before, and one that starts now.
    expected.insert((order_id, 2));
    for replica in [second, world.replica(config).await] {
        let start = Start::ResumeToken(token.clone().into());
        let mut resumed = follow(&mut client(&replica).await, None, start).await.expect("resumed");
        let found = moves(&mut resumed, expected.len()).await.0;
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
