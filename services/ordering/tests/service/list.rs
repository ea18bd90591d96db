use anyhow::Result;
use comanda_proto::v1::{ListOrdersRequest, Order, Phase};
use tonic::{Code, Status};

use crate::fixture::{Client, Fixture, create, fields, request, request_of, run};

/// The ids of all orders of a list, page by page.
async fn walk(client: &Client, mut filter: ListOrdersRequest) -> Result<Vec<Vec<String>>, Status> {
    let mut pages = Vec::new();
    loop {
        let page = client.clone().list_orders(filter.clone()).await?.into_inner();
        pages.push(page.orders.into_iter().map(|order| order.order_id).collect());
        if page.next_page_token.is_empty() {
            return Ok(pages);
        }
        filter.page_token = page.next_page_token;
    }
}

/// The content of an order with one label of this text, in hexadecimal.
fn content_of(text: String) -> String {
    let labels = [("note".to_owned(), text)].into();
    let content = prost::Message::encode_to_vec(&Order { labels, ..Order::default() });
    content.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn newest_first(mut orders: Vec<Order>) -> Vec<String> {
    orders.sort_by_key(|order| {
        let time = order.create_time.expect("always there");
        std::cmp::Reverse((time.seconds, time.nanos, order.order_id.clone()))
    });
    orders.into_iter().map(|order| order.order_id).collect()
}

#[tokio::test]
async fn pages_show_every_order_once_newest_first_while_new_ones_arrive() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let mut orders = Vec::new();
    for _ in 0..30 {
        orders.push(create(&client, request()).await?);
    }
    // Orders that were stored together have the same time: the id decides.
    run(&fixture.sql, "UPDATE ordering.orders SET create_time = date_trunc('hour', create_time) WHERE number <= 15")
        .await?;
    for order in orders.iter_mut().filter(|order| order.number <= 15) {
        let time = order.create_time.as_mut().expect("always there");
        (time.seconds, time.nanos) = (time.seconds - time.seconds % 3600, 0);
    }

    let (mut walked, mut request_page) = (Vec::new(), ListOrdersRequest { page_size: 7, ..Default::default() });
    loop {
        let page = client.list_orders(request_page.clone()).await?.into_inner();
        walked.extend(page.orders.into_iter().map(|order| order.order_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request_page.page_token = page.next_page_token;
        create(&client, request()).await?;
    }
    assert_eq!(walked, newest_first(orders));
    replica.stop().await
}

#[tokio::test]
async fn filters_narrow_a_list_and_a_token_holds_for_its_filter_only() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let mut orders = Vec::new();
    for customer in ["a", "b", "a", "b", "a"] {
        orders.push(create(&client, request_of(customer)).await?);
    }
    fixture.set_state(&orders[0], 2, "delivered", Phase::Succeeded).await?;
    fixture.set_state(&orders[1], 2, "preparing", Phase::Active).await?;
    let times: Vec<_> = orders.iter().map(|order| order.create_time).collect();
    let filter = ListOrdersRequest::default;
    let active = vec![Phase::Active.into()];
    let cases = [
        (ListOrdersRequest { customer_id: "a".into(), ..filter() }, vec![4, 2, 0]),
        (ListOrdersRequest { customer_id: "nobody".into(), ..filter() }, vec![]),
        (ListOrdersRequest { workflow: "delivery".into(), ..filter() }, vec![4, 3, 2, 1, 0]),
        (ListOrdersRequest { workflow: "ride".into(), ..filter() }, vec![]),
        (ListOrdersRequest { statuses: vec!["delivered".into(), "preparing".into()], ..filter() }, vec![1, 0]),
        (ListOrdersRequest { phases: active.clone(), ..filter() }, vec![4, 3, 2, 1]),
        (ListOrdersRequest { phases: active, customer_id: "a".into(), ..filter() }, vec![4, 2]),
        (ListOrdersRequest { created_from_time: times[1], created_before_time: times[4], ..filter() }, vec![3, 2, 1]),
    ];
    for (filter, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(|index: usize| orders[index].order_id.clone()).collect();
        for page_size in [0, 1, 2] {
            let found = walk(&client, ListOrdersRequest { page_size, ..filter.clone() }).await?.concat();
            assert_eq!(found, expected, "{filter:?}");
        }
    }

    let page = ListOrdersRequest { page_size: 1, customer_id: "a".into(), ..filter() };
    let page_token = client.list_orders(page).await?.into_inner().next_page_token;
    for other in [ListOrdersRequest { customer_id: "b".into(), ..filter() }, filter()] {
        let other = ListOrdersRequest { page_token: page_token.clone(), ..other };
        let refused = client.list_orders(other).await.expect_err("another filter");
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["page_token".to_string()]));
    }
    replica.stop().await
}

#[tokio::test]
async fn bounds_hold_to_the_nanosecond_and_at_the_ends_of_time() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let order = create(&client, request()).await?;
    let created = order.create_time.expect("always there");
    let at = |nanos: i64| {
        let nanos = i64::from(created.nanos) + nanos;
        let (seconds, nanos) = (created.seconds + nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        Some(prost_types::Timestamp { seconds, nanos: nanos as i32 })
    };
    let (first, last) = (
        Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 }),
        Some(prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 }),
    );
    for (created_from_time, created_before_time, is_there) in [
        (at(0), at(1), true),
        (at(-1), at(400), true),
        (at(1), None, false),
        (at(600), None, false),
        (None, at(0), false),
        (None, at(-999), false),
        (first, last, true),
        (last, None, false),
        (None, first, false),
        (at(5), at(-5), false),
    ] {
        let filter = ListOrdersRequest { created_from_time, created_before_time, ..Default::default() };
        assert_eq!(!walk(&client, filter.clone()).await?.concat().is_empty(), is_there, "{filter:?}");
    }
    replica.stop().await
}

#[tokio::test]
async fn a_page_size_above_the_most_is_the_most() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    fixture.fill("default", 600, "'c'", "''", "now()").await?;
    let pages = walk(&client, ListOrdersRequest { page_size: i32::MAX, ..Default::default() }).await?;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [500, 100]);
    replica.stop().await
}

#[tokio::test]
async fn a_list_that_is_asked_for_wrongly_names_every_field() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let never = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let wrong = ListOrdersRequest {
        page_size: -1,
        statuses: vec![String::new()],
        phases: vec![0],
        customer_id: "a\0".into(),
        workflow: "w".repeat(64),
        created_from_time: Some(never),
        created_before_time: Some(never),
        view: 9,
        page_token: "nonsense".into(),
    };
    let refused = client.list_orders(wrong).await.expect_err("must be refused");
    let expected = [
        "page_size",
        "view",
        "statuses[0]",
        "phases[0]",
        "customer_id",
        "workflow",
        "created_from_time",
        "created_before_time",
    ];
    assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, expected.map(String::from).to_vec()));
    let refused = client
        .list_orders(ListOrdersRequest { page_token: "nonsense".into(), ..Default::default() })
        .await
        .expect_err("must be refused");
    assert_eq!(fields(&refused), ["page_token"]);
    replica.stop().await
}

#[tokio::test]
async fn a_rare_status_is_found_behind_short_pages_and_large_pages_are_cut() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let rare = create(&client, request()).await?;
    fixture.set_state(&rare, 4, "delivered", Phase::Succeeded).await?;
    // Large orders make a page of 500 larger than a mebibyte.
    let large = content_of("x".repeat(4000));
    let content = format!("CASE WHEN n > 10400 THEN '\\x{large}'::bytea ELSE '' END");
    fixture.fill("default", 10_500, "'c'", &content, "now()").await?;

    let filter = ListOrdersRequest { statuses: vec!["delivered".into()], ..Default::default() };
    let pages = walk(&client, filter).await?;
    assert_eq!(pages, [vec![], vec![rare.order_id]]);

    let filter = ListOrdersRequest { page_size: 500, ..Default::default() };
    let pages = walk(&client, filter).await?;
    assert!(pages.iter().any(|page| page.len() < 500), "no page was cut");
    let mut all = pages.concat();
    assert_eq!(all.len(), 10_501);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 10_501);
    replica.stop().await
}
