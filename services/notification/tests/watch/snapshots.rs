//! Snapshots where there are very many orders.

use std::collections::BTreeSet;

use comanda_proto::v1::{Phase, WatchFilter};
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{Told::*, *};

fn of_customer(customer_id: &str) -> WatchFilter {
    WatchFilter { customer_id: customer_id.into(), ..Default::default() }
}

/// The orders that a snapshot shows.
async fn shown(client: &mut Client, filter: WatchFilter) -> BTreeSet<Uuid> {
    let mut stream = follow(client, Some(filter), snapshot()).await.expect("opened");
    let mut shown = BTreeSet::new();
    loop {
        match event(&mut stream).await.0 {
            Current(order_id, _) => assert!(shown.insert(order_id), "shown once"),
            Complete => return shown,
            other => panic!("{other:?}"),
        }
    }
}

/// Orders of a tenant and customer, older than all others, in this phase.
async fn fill(world: &World, tenant: &str, customer_id: &str, count: i32, phase: Phase) {
    sqlx::query(
        "WITH o AS (
             INSERT INTO ordering.orders
                 (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                  total_units, total_nanos, item_count, workflow, workflow_revision, first_status, create_time)
             SELECT gen_random_uuid(), $1, 1, $2, '', '', '', '', 'CLP', 0, 0, 1, 'test', 1, 's1', now() - interval '1 day'
             FROM generate_series(1, $3)
             RETURNING order_id
         )
         INSERT INTO state_machine.states
             (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
         SELECT order_id, $1, 'test', 1, 1, 's1', $4, now(), CASE WHEN $4 = 1 THEN 'infinity'::timestamptz END FROM o",
    )
    .bind(tenant)
    .bind(customer_id)
    .bind(count)
    .bind(i16::try_from(i32::from(phase)).expect("a phase"))
    .execute(&world.sql)
    .await
    .expect("inserted");
}

#[tokio::test]
async fn few_active_orders_are_found_among_very_many_ended_and_foreign_ones() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let oldest = world.silent_order("ana").await;
    world.execute("UPDATE ordering.orders SET create_time = now() - interval '2 days'").await;
    fill(&world, "default", "ana", 25_000, Phase::Succeeded).await;
    let newest = world.silent_order("ana").await;
    let bob = world.silent_order("bob").await;
    let ana = BTreeSet::from([oldest, newest]);
    assert_eq!(shown(&mut client, of_customer("ana")).await, ana);

    // More active orders than are all looked at.
    fill(&world, "acme", "ana", 50_000, Phase::Active).await;
    assert_eq!(shown(&mut client, of_customer("ana")).await, ana);
    assert_eq!(shown(&mut client, of_customer("bob")).await, BTreeSet::from([bob]));
    assert_eq!(shown(&mut client, WatchFilter::default()).await, BTreeSet::from([oldest, newest, bob]));
    world.step(bob).await;
    let in_s2 = WatchFilter { statuses: vec!["s2".into()], ..Default::default() };
    assert_eq!(shown(&mut client, in_s2).await, BTreeSet::from([bob]));
    let other_workflow = WatchFilter { workflow: "ride".into(), ..Default::default() };
    assert_eq!(shown(&mut client, other_workflow).await, BTreeSet::new());

    fill(&world, "default", "carla", 10_001, Phase::Active).await;
    let too_many = follow(&mut client, Some(of_customer("carla")), snapshot()).await.expect_err("too many");
    assert_eq!(error(&too_many), refused(Code::FailedPrecondition, "SNAPSHOT_TOO_LARGE", None));
}

#[tokio::test]
async fn large_orders_come_in_small_pages() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut expected = BTreeSet::new();
    for _ in 0..70 {
        expected.insert(world.silent_order("ana").await);
    }
    // An order of 100 KB (labels), then a run of small ones, and so on.
    let large =
        comanda_proto::v1::Order { labels: [("key".to_owned(), "x".repeat(100_000))].into(), ..Default::default() };
    sqlx::query("UPDATE ordering.orders SET content = $1 WHERE right(order_id::text, 1) IN ('0', '7', 'f')")
        .bind(prost::Message::encode_to_vec(&large))
        .execute(&world.sql)
        .await
        .expect("updated");
    assert_eq!(shown(&mut client(&replica).await, WatchFilter::default()).await, expected);
}
