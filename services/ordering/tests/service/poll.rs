//! A client that polls by create_time, as the contract of ListOrders says, sees every order of all replicas.

use std::collections::BTreeSet;

use anyhow::Result;
use comanda_proto::v1::ListOrdersRequest;
use futures::future::try_join_all;
use prost_types::Timestamp;
use tonic::Status;

use crate::fixture::{Client, Fixture, create, request, run};

const WRITERS: usize = 12;
const ORDERS_EACH: usize = 40;

/// Every order that was created at or after a time, and the newest create_time among them.
async fn poll(client: &Client, from: Option<Timestamp>) -> Result<(BTreeSet<String>, Option<Timestamp>), Status> {
    let mut request = ListOrdersRequest { created_from_time: from, page_size: 100, ..Default::default() };
    let (mut seen, mut newest) = (BTreeSet::new(), None);
    loop {
        let page = client.clone().list_orders(request.clone()).await?.into_inner();
        newest = newest.or(page.orders.first().and_then(|order| order.create_time));
        seen.extend(page.orders.into_iter().map(|order| order.order_id));
        if page.next_page_token.is_empty() {
            return Ok((seen, newest.or(from)));
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn polling_from_the_newest_order_seen_misses_none_though_replicas_commit_late() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (first, first_client) = fixture.serve().await?;
    let (second, second_client) = fixture.serve().await?;
    // Every statement lasts for a time of its own before it can commit.
    run(
        &fixture.sql,
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() * 0.05); RETURN NULL; END $$;
         CREATE TRIGGER late AFTER INSERT ON ordering.orders EXECUTE FUNCTION late();
         CREATE TRIGGER early BEFORE INSERT ON ordering.orders EXECUTE FUNCTION late()",
    )
    .await?;
    let clients = [first_client.clone(), second_client];
    let writers = (0..WRITERS).map(|writer| {
        let client = clients[writer % 2].clone();
        async move {
            let mut created = Vec::new();
            for _ in 0..ORDERS_EACH {
                created.push(create(&client, request()).await?.order_id);
            }
            Ok::<_, Status>(created)
        }
    });
    let writing = tokio::spawn(try_join_all(writers));
    let (mut seen, mut from, mut polls) = (BTreeSet::new(), None, 0);
    while !writing.is_finished() {
        let (more, newest) = poll(&first_client, from).await?;
        seen.extend(more);
        (from, polls) = (newest, polls + 1);
    }
    seen.extend(poll(&first_client, from).await?.0);
    let created: BTreeSet<_> = writing.await??.into_iter().flatten().collect();
    assert!(polls > 20, "{polls} polls are no test");
    assert_eq!(created.difference(&seen).count(), 0, "of {} orders some were never seen", created.len());
    drop((clients, first_client));
    first.stop().await?;
    second.stop().await
}
