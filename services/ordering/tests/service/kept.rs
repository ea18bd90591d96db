//! Records that a process keeps from their commit to their publication.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use comanda_kit::{
    relay::{Kept, Relay},
    traces::Traceparent,
};
use comanda_ordering::store::Store;
use comanda_proto::{topics, v1::CreateOrderRequest, views::timestamp};
use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;

use crate::{
    fixture::{Fixture, Stepper, acme, new_order, new_order_for, request, request_with_id, run},
    trip::trip,
};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Record = (BTreeMap<String, String>, Vec<u8>);

/// The records that came to the topic behind `known` others, by their keys.
async fn published(fixture: &Fixture, known: usize) -> Result<BTreeMap<String, Record>> {
    let records = fixture.environment.records(topics::ORDERS).await?;
    let mut last = BTreeMap::new();
    for record in &records {
        last.insert(record.key.clone(), (record.headers.clone(), record.payload.clone()));
    }
    assert_eq!(records.len(), known + last.len());
    Ok(last)
}

#[tokio::test]
async fn what_is_kept_is_published_and_is_the_same_as_what_is_read_back() -> Result<()> {
    let (fixture, kept) = (Fixture::new().await?, Kept::new(1 << 20));
    let mut leader = Stepper::new(&fixture)?;
    leader.relay = leader.relay.with_kept(kept.clone());
    leader.publish_all().await?;

    let mut later = trip();
    later.pickup_time = Some(timestamp(OffsetDateTime::now_utc() + Duration::hours(3) + Duration::nanoseconds(1_234)));
    let orders = [
        new_order(request_with_id()).traced(Traceparent::parse(TRACEPARENT)),
        new_order(request()),
        new_order(CreateOrderRequest { trip: Some(trip()), ..request() }).traced(Traceparent::parse(TRACEPARENT)),
        new_order(CreateOrderRequest { trip: Some(later), ..request() }),
        new_order_for(acme(), CreateOrderRequest { workflow: "delivery".into(), ..request() }),
    ];
    let store = Store::new(fixture.pool()?).with_kept(kept.clone());
    // Without trips and with some: these are two statements.
    store.insert(&orders[..2]).await?;
    store.insert(&orders[2..]).await?;
    run(&fixture.sql, "UPDATE ordering.orders SET customer_id = customer_id || ' read back'").await?;
    leader.publish_all().await?;
    let from_memory = published(&fixture, 0).await?;
    for order in &orders {
        let (headers, _) = &from_memory[&order.order_id.to_string()];
        assert_eq!(headers.get("traceparent").map(String::as_str), order.traceparent.as_ref().map(|_| TRACEPARENT));
    }

    run(&fixture.sql, "UPDATE ordering.orders SET customer_id = replace(customer_id, ' read back', '')").await?;
    let again =
        "INSERT INTO ordering.outbox (order_ids, versions) SELECT ARRAY[order_id], ARRAY[1] FROM ordering.orders";
    run(&fixture.sql, again).await?;
    leader.publish_all().await?;
    assert_eq!(published(&fixture, orders.len()).await?, from_memory);
    Ok(())
}

/// A replica that does not lead publishes nothing, so it keeps nothing; what it commits is read back by the one that leads.
#[tokio::test]
async fn what_another_replica_stores_or_an_earlier_term_kept_is_read_back() -> Result<()> {
    let (fixture, kept) = (Fixture::new().await?, Kept::new(1 << 20));
    let (mut leader, store) = (Stepper::new(&fixture)?, Store::new(fixture.pool()?).with_kept(kept.clone()));
    store.insert(&[new_order(request())]).await?;
    leader.relay = leader.relay.with_kept(kept);
    leader.publish_all().await?;
    store.insert(&[new_order(request())]).await?;
    run(&fixture.sql, "UPDATE ordering.lease SET epoch = epoch + 1").await?;
    run(&fixture.sql, "UPDATE ordering.orders SET customer_id = 'as it is now'").await?;
    leader.publish_all().await?;
    let last = fixture.published().await?;
    assert_eq!(last.len(), 2);
    assert!(last.iter().any(|(_, order)| order.customer_id == "as it is now"));
    Ok(())
}

#[tokio::test]
async fn a_store_that_fails_keeps_nothing() -> Result<()> {
    let (fixture, kept) = (Fixture::new().await?, Kept::new(1 << 20));
    let (pool, kafka) = (fixture.pool()?, fixture.environment.kafka.clone());
    let (store, topic) = (Store::new(pool.clone()).with_kept(kept.clone()), kafka.topic(topics::ORDERS));
    let relay = Relay::new(pool, store.clone(), kafka, topic, Arc::new(Notify::new()))?.with_kept(kept);
    let mut leader = Stepper { relay, ..Stepper::new(&fixture)? };
    leader.publish_all().await?;
    // The statement has given its rows when the commit fails.
    run(
        &fixture.sql,
        "CREATE FUNCTION ordering.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused at the commit'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON ordering.orders DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION ordering.refuse()",
    )
    .await?;
    let order = new_order(request());
    assert!(store.insert(std::slice::from_ref(&order)).await.is_err());
    // A pointer without a row: published would be only what was kept.
    let pointer = format!(
        "INSERT INTO ordering.outbox (order_ids, versions) VALUES (ARRAY['{}'::uuid], ARRAY[1])",
        order.order_id
    );
    run(&fixture.sql, &pointer).await?;
    leader.publish_all().await?;
    assert!(fixture.published().await?.is_empty());
    Ok(())
}
