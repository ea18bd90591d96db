//! Records of transitions that a process keeps from their commit to their publication.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use comanda_kit::{postgres, relay::Kept};
use comanda_proto::topics;
use comanda_state_machine::store::{SCHEMA, Store};

use crate::fixture::{Fixture, Stepper, run};

type Record = (BTreeMap<String, String>, Vec<u8>);

/// The records of the topic that are not among its first `known`, by key and version.
async fn published(fixture: &Fixture, known: usize) -> Result<BTreeMap<(String, i64), Record>> {
    let mut last = BTreeMap::new();
    let all = fixture.published().await?;
    for (record, event) in &all {
        last.insert((record.key.clone(), event.version), (record.headers.clone(), record.payload.clone()));
    }
    assert_eq!(all.len(), known + last.len());
    Ok(last)
}

#[tokio::test]
async fn what_is_kept_is_published_and_is_the_same_as_what_is_read_back() -> Result<()> {
    let (fixture, kept) = (Fixture::new().await?, Kept::new(1 << 20));
    let pool = postgres::pool(&fixture.environment.postgres, SCHEMA)?;
    let store = Store::new(pool, Some(Duration::ZERO)).with_kept(kept.clone(), 1 << 20);
    let mut leader = Stepper::with(&fixture, store)?;
    leader.relay = leader.relay.with_kept(kept);
    leader.publish_all().await?;
    let mut ids = fixture.place(3).await?;
    ids.extend(fixture.place_of("acme", "delivery", 2).await?);
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    run(&fixture.sql, &format!("UPDATE ordering.orders SET traceparent = '{traceparent}' WHERE tenant = 'acme'"))
        .await?;
    leader.adopt(&ids).await?;
    for _ in 0..3 {
        run(&fixture.sql, "UPDATE state_machine.transitions SET reason = 'read back'").await?;
        leader.publish_all().await?;
        leader.fire().await?;
    }
    run(&fixture.sql, "UPDATE state_machine.transitions SET reason = 'read back'").await?;
    leader.publish_all().await?;
    let from_memory = published(&fixture, 0).await?;
    assert_eq!(from_memory.len(), 5 * 4);
    let traced = from_memory.values().filter_map(|(headers, _)| headers.get("traceparent")).collect::<Vec<_>>();
    assert_eq!(traced, [traceparent; 2 * 4]);

    run(&fixture.sql, "UPDATE state_machine.transitions SET reason = ''").await?;
    let again = "INSERT INTO state_machine.outbox (order_ids, versions)
                 SELECT ARRAY[order_id], ARRAY[version] FROM state_machine.transitions ORDER BY version";
    run(&fixture.sql, again).await?;
    leader.publish_all().await?;
    assert_eq!(published(&fixture, from_memory.len()).await?, from_memory);
    assert_eq!(fixture.environment.records(topics::ORDER_TRANSITIONS).await?.len(), 2 * from_memory.len());
    Ok(())
}
