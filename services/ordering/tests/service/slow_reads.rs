//! Lists that find nothing, find too much or wait for the database are bounded, and keep no one else waiting.

use std::time::{Duration, Instant};

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_proto::v1::{BatchGetOrdersRequest, ListOrdersRequest, Phase};
use futures::future::join_all;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use crate::fixture::{Client, Fixture, create, reason, request, run};

const ROWS: i64 = 60_000;

/// Filters of which no order of the test is.
fn filters_that_match_nothing() -> [ListOrdersRequest; 4] {
    let none = ListOrdersRequest::default;
    [
        ListOrdersRequest { workflow: "ride".into(), ..none() },
        ListOrdersRequest { statuses: vec!["lost".into()], ..none() },
        ListOrdersRequest { phases: vec![Phase::Failed.into()], customer_id: "c".into(), ..none() },
        ListOrdersRequest { customer_id: "nobody".into(), ..none() },
    ]
}

#[tokio::test]
async fn no_filter_makes_a_call_look_at_more_than_ten_thousand_orders() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    run(&fixture.sql, "ALTER TABLE ordering.orders SET (autovacuum_enabled = false)").await?;
    fixture.fill("default", ROWS, "'c'", "''", "now() - n * interval '1 millisecond'").await?;
    for filter in filters_that_match_nothing() {
        fixture.environment.forget_reads().await?;
        let (replica, mut client) = fixture.serve().await?;
        let page = client.list_orders(filter.clone()).await?.into_inner();
        assert!(page.orders.is_empty());
        assert_eq!(page.next_page_token.is_empty(), filter.customer_id == "nobody", "{filter:?}");
        drop(client);
        replica.stop().await?;
        let reads = fixture.environment.reads().await?;
        let too_much: Vec<_> =
            reads.iter().filter(|(name, read)| name.starts_with("ordering.") && *read > 11_000).collect();
        assert!(too_much.is_empty(), "{filter:?} read {too_much:?}");
    }
    Ok(())
}

/// A table in which each order has about 150 KB.
async fn fill_with_large_orders(fixture: &Fixture, count: i64) -> Result<()> {
    // Not compressed, so that reading one costs what it weighs.
    run(&fixture.sql, "ALTER TABLE ordering.orders ALTER content SET STORAGE EXTERNAL").await?;
    let labels = [("note".to_owned(), "x".repeat(150_000))].into();
    let content = comanda_proto::v1::Order { labels, ..Default::default() }.encode_to_vec();
    let hex: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
    fixture.fill("default", count, "'c'", &format!("'\\x{hex}'::bytea"), "now() - n * interval '1 second'").await
}

#[tokio::test]
async fn pages_of_large_orders_are_cut_and_so_are_batches() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    fill_with_large_orders(&fixture, 520).await?;
    let (replica, mut client) = fixture.serve().await?;
    let mut page = ListOrdersRequest { page_size: 500, ..Default::default() };
    let mut ids = Vec::new();
    let began = Instant::now();
    loop {
        let response = client.list_orders(page.clone()).await?.into_inner();
        assert!(response.encoded_len() < 1_200_000 && !response.orders.is_empty(), "{}", response.encoded_len());
        ids.extend(response.orders.into_iter().map(|order| order.order_id));
        if response.next_page_token.is_empty() {
            break;
        }
        page.page_token = response.next_page_token;
    }
    assert_eq!(ids.len(), 520);
    // Had each of the 87 pages read 501 orders, it would be 6 GB.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());

    let (mut asked, mut seen) = (ids[..100].to_vec(), Vec::new());
    while !asked.is_empty() {
        let request = BatchGetOrdersRequest { order_ids: asked.clone(), view: 0 };
        let response = client.batch_get_orders(request).await?.into_inner();
        assert!(response.encoded_len() < 1_200_000 && response.missing_order_ids.is_empty());
        seen.extend(response.orders.into_iter().map(|order| order.order_id));
        asked = response.left_out_order_ids;
    }
    assert_eq!(seen, ids[..100]);
    replica.stop().await
}

#[tokio::test]
async fn lists_that_the_database_takes_too_long_for_keep_neither_orders_nor_health_waiting() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    replica.serves("comanda.v1.OrderService").await;
    create(&client, request()).await?;
    // From now on every list takes longer than a statement may.
    run(
        &fixture.sql,
        "CREATE OR REPLACE FUNCTION public.slow(status text) RETURNS text LANGUAGE plpgsql
         AS $$ BEGIN PERFORM pg_sleep(20); RETURN status; END $$;
         CREATE OR REPLACE VIEW state_machine.order_states AS
         SELECT order_id, tenant, version, public.slow(status) AS status, phase, status_time, due_at,
                nullif(due_at, 'infinity') AS next_transition_time
         FROM state_machine.states;
         INSERT INTO state_machine.states (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time)
         SELECT order_id, tenant, workflow, workflow_revision, 1, first_status, 1, create_time FROM ordering.orders",
    )
    .await?;
    let lists = tokio::spawn(lists(client.clone(), 30));
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    eventually("lists run", || async { (fixture.number(sleeping).await > 0).then_some(()) }).await;

    let mut created = 0;
    while !lists.is_finished() {
        let began = Instant::now();
        create(&client, request()).await?;
        assert!(began.elapsed() < Duration::from_secs(2), "an order took {:?}", began.elapsed());
        replica.serves("comanda.v1.OrderService").await;
        assert!(began.elapsed() < Duration::from_secs(3), "health took {:?}", began.elapsed());
        created += 1;
    }
    lists.await?;
    assert!(created > 10, "the lists were no burden");
    drop(client);
    replica.stop().await
}

/// Reads this many lists at once; each must be refused in time.
async fn lists(client: Client, count: usize) {
    let calls = (0..count).map(|_| {
        let mut client = client.clone();
        async move {
            let began = Instant::now();
            let refused = client.list_orders(ListOrdersRequest::default()).await.expect_err("no list ends in time");
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
            assert!(refused.get_details_retry_info().is_some(), "it says when to come back");
            assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        }
    });
    join_all(calls).await;
}
