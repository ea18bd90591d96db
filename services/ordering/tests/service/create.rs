use std::collections::BTreeMap;

use anyhow::Result;
use comanda_proto::{
    Money,
    events::OrderPlaced,
    topics,
    v1::{
        BatchCreateOrdersRequest, BatchGetOrdersRequest, CreateOrderRequest, Customer, GetOrderRequest, Item,
        ListOrdersRequest, Order, OrderView, Phase, batch_create_orders_response::result::Outcome,
        get_order_request::Key,
    },
};
use tonic::Code;
use tonic_types::RpcStatusExt;

use crate::fixture::{Fixture, create, fields, id, item, reason, request, request_with_id};

#[tokio::test]
async fn a_created_order_is_answered_found_again_and_published() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;

    let asked = request();
    let order = create(&client, asked.clone()).await?;
    assert_eq!((&order.customer, &order.items, &order.labels), (&asked.customer, &asked.items, &asked.labels));
    assert_eq!(order.total, Some(Money { currency_code: "CLP".into(), units: 9_490, nanos: 0 }));
    assert_eq!((order.workflow.as_str(), order.workflow_revision, order.status.as_str()), ("delivery", 7, "received"));
    assert_eq!((order.phase(), order.version, order.status_time), (Phase::Active, 1, order.create_time));

    for key in [Key::OrderId(order.order_id.clone()), Key::Number(order.number)] {
        let found = client.get_order(GetOrderRequest { key: Some(key), view: 0 }).await?.into_inner();
        assert_eq!(found.order.as_ref(), Some(&order));
    }

    fixture.drained().await;
    let published = fixture.published().await?;
    let [(record, event)] = published.as_slice() else { panic!("one record, not {}", published.len()) };
    let expected = OrderPlaced {
        order_id: order.order_id.clone(),
        number: order.number,
        customer_id: "c-1".into(),
        workflow: order.workflow,
        workflow_revision: order.workflow_revision,
        status: order.status,
        create_time: order.create_time,
        tenant: "default".into(),
        total: order.total.clone(),
        item_count: 2,
        start_time: None,
    };
    assert_eq!((&record.key, event), (&order.order_id, &expected));
    let time = order.create_time.expect("always there").to_string();
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", &format!("{}/placed", order.order_id)),
        ("ce_type", "comanda.events.v1.OrderPlaced"),
        ("ce_source", "/comanda/ordering"),
        ("ce_time", &time),
        ("ce_subject", &order.order_id),
        ("ce_tenant", "default"),
        ("content-type", "application/protobuf"),
    ];
    let headers: BTreeMap<_, _> = headers.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(record.headers, headers);
    for private in ["Ana Rojas", "ana@example.com"] {
        assert!(!record.payload.windows(private.len()).any(|window| window == private.as_bytes()));
    }
    replica.stop().await
}

#[tokio::test]
async fn a_view_shows_the_person_or_does_not() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let full = create(&client, request()).await?;
    let customer = Some(Customer { customer_id: "c-1".into(), ..Customer::default() });
    let basic = Order { customer, ..full.clone() };
    let order_ids = vec![full.order_id.clone()];
    for (view, of_one, of_many) in
        [(OrderView::Unspecified, &full, &basic), (OrderView::Basic, &basic, &basic), (OrderView::Full, &full, &full)]
    {
        let view = i32::from(view);
        let key = Some(Key::Number(full.number));
        let one = client.get_order(GetOrderRequest { key, view }).await?.into_inner();
        assert_eq!(one.order.as_ref(), Some(of_one));
        let batch = BatchGetOrdersRequest { order_ids: order_ids.clone(), view };
        assert_eq!(client.batch_get_orders(batch).await?.into_inner().orders.first(), Some(of_one));
        let list = client.list_orders(ListOrdersRequest { view, ..Default::default() }).await?.into_inner();
        assert_eq!((list.orders.first(), list.orders.len()), (Some(of_many), 1));
    }
    let unknown = GetOrderRequest { key: None, view: 7 };
    let refused = client.get_order(unknown).await.expect_err("no such view");
    assert_eq!(fields(&refused), ["view", "key"]);
    replica.stop().await
}

#[tokio::test]
async fn a_batch_is_answered_in_the_order_asked_and_names_what_is_missing() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let (one, other) = (create(&client, request()).await?, create(&client, request()).await?);
    let missing = uuid::Uuid::now_v7().to_string().to_uppercase();
    let order_ids = [&other.order_id, &missing, &one.order_id, &other.order_id].map(String::clone).to_vec();
    let found = client.batch_get_orders(BatchGetOrdersRequest { order_ids, view: 0 }).await?.into_inner();
    assert_eq!(found.orders, [other.clone(), one, other]);
    assert_eq!((found.missing_order_ids, found.left_out_order_ids), (vec![missing], vec![]));
    replica.stop().await
}

#[tokio::test]
async fn an_order_that_is_not_there_is_not_found() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    for key in [Key::OrderId(uuid::Uuid::now_v7().to_string()), Key::Number(12), Key::Number(-1)] {
        let refused = client.get_order(GetOrderRequest { key: Some(key), view: 0 }).await.expect_err("not there");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "ORDER_NOT_FOUND"));
    }
    for (key, field) in [(None, "key"), (Some(Key::OrderId("12".into())), "order_id")] {
        let refused = client.get_order(GetOrderRequest { key, view: 0 }).await.expect_err("no key");
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec![field.to_string()]));
    }
    replica.stop().await
}

#[tokio::test]
async fn a_request_beyond_any_limit_names_its_fields_and_stores_nothing() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let long = |count: usize| "ñ".repeat(count);
    let with_customer = |customer: Customer| CreateOrderRequest { customer: Some(customer), ..request() };
    let customer = || request().customer.expect("has one");
    let with_item = |item: Item| CreateOrderRequest { items: vec![item], ..request() };
    let with_price = |currency: &str, units: i64, nanos: i32| {
        let unit_price = Some(Money { currency_code: currency.into(), units, nanos });
        with_item(Item { unit_price, ..item("Empanada", 1, 0) })
    };
    let with_labels =
        |labels: Vec<(String, String)>| CreateOrderRequest { labels: labels.into_iter().collect(), ..request() };
    let other_currency = Some(Money { currency_code: "USD".into(), units: 1, nanos: 0 });
    let mixed = vec![item("Empanada", 1, 1), Item { unit_price: other_currency, ..item("Soda", 1, 1) }];
    let cases = [
        (CreateOrderRequest { request_id: "7".into(), ..request() }, vec!["request_id"]),
        (CreateOrderRequest { customer: None, ..request() }, vec!["customer.customer_id"]),
        (with_customer(Customer { customer_id: long(65), ..customer() }), vec!["customer.customer_id"]),
        (with_customer(Customer { customer_id: "a\nb".into(), ..customer() }), vec!["customer.customer_id"]),
        (with_customer(Customer { name: long(257), ..customer() }), vec!["customer.name"]),
        (with_customer(Customer { name: "a\0b".into(), ..customer() }), vec!["customer.name"]),
        (with_customer(Customer { email: "ana".into(), ..customer() }), vec!["customer.email"]),
        (with_customer(Customer { email: "ana@example.com\r\n".into(), ..customer() }), vec!["customer.email"]),
        (
            with_customer(Customer { email: format!("ana@{}.com", "a.".repeat(130)), ..customer() }),
            vec!["customer.email"],
        ),
        (with_customer(Customer { locale: "es_CL".into(), ..customer() }), vec!["customer.locale"]),
        (
            with_customer(Customer { locale: "es-12345678-12345678-12345678-12345678".into(), ..customer() }),
            vec!["customer.locale"],
        ),
        (CreateOrderRequest { items: vec![], ..request() }, vec!["items"]),
        (CreateOrderRequest { items: vec![item("Empanada", 1, 1); 101], ..request() }, vec!["items"]),
        (CreateOrderRequest { items: mixed, ..request() }, vec!["items"]),
        (with_item(item("Empanada", 10_000, i64::MAX)), vec!["items"]),
        (with_item(Item { sku: long(65), ..item("Empanada", 1, 1) }), vec!["items[0].sku"]),
        (with_item(item("", 1, 1)), vec!["items[0].name"]),
        (with_item(item(&long(257), 1, 1)), vec!["items[0].name"]),
        (with_item(item("Empanada", 0, 1)), vec!["items[0].quantity"]),
        (with_item(item("Empanada", 10_001, 1)), vec!["items[0].quantity"]),
        (with_item(Item { unit_price: None, ..item("Empanada", 1, 1) }), vec!["items[0].unit_price"]),
        (with_price("clp", 1, 0), vec!["items[0].unit_price"]),
        (with_price("CLP", -1, 0), vec!["items[0].unit_price"]),
        (with_price("CLP", 1, -1), vec!["items[0].unit_price"]),
        (with_price("CLP", 1, 1_000_000_000), vec!["items[0].unit_price"]),
        (with_price("KRW", 100, 500_000_000), vec!["items[0].unit_price"]),
        (with_price("PEN", 1, 5_000_000), vec!["items[0].unit_price"]),
        (with_price("AAA", 1, 0), vec!["items[0].unit_price"]),
        (with_price("XAU", 1, 0), vec!["items[0].unit_price"]),
        (with_item(item(" \u{a0}\t", 1, 1)), vec!["items[0].name"]),
        (with_item(item("\u{2060}\u{200f}", 1, 1)), vec!["items[0].name"]),
        (with_item(Item { sku: "\u{ad}".into(), ..item("Empanada", 1, 1) }), vec!["items[0].sku"]),
        (with_customer(Customer { name: "\u{3000}".into(), ..customer() }), vec!["customer.name"]),
        (with_customer(Customer { customer_id: "\u{feff}".into(), ..customer() }), vec!["customer.customer_id"]),
        (with_customer(Customer { email: "\"ana\"@example.com".into(), ..customer() }), vec!["customer.email"]),
        (with_customer(Customer { email: "ana@[192.0.2.1]".into(), ..customer() }), vec!["customer.email"]),
        (with_labels(vec![("\u{200b}".into(), String::new())]), vec!["labels (a key)"]),
        (CreateOrderRequest { request_id: uuid::Uuid::nil().to_string(), ..request() }, vec!["request_id"]),
        (CreateOrderRequest { request_id: uuid::Uuid::max().simple().to_string(), ..request() }, vec!["request_id"]),
        (CreateOrderRequest { workflow: "ride".into(), ..request() }, vec!["workflow"]),
        (CreateOrderRequest { workflow: long(64), ..request() }, vec!["workflow", "workflow"]),
        (with_labels((0..17).map(|key| (key.to_string(), String::new())).collect()), vec!["labels"]),
        (with_labels(vec![(String::new(), "4".into())]), vec!["labels (a key)"]),
        (with_labels(vec![(long(64), "4".into())]), vec!["labels (a key)"]),
        (with_labels(vec![("table".into(), long(257))]), vec!["labels[table]"]),
        (
            CreateOrderRequest {
                request_id: "7".into(),
                customer: None,
                workflow: "ride".into(),
                ..with_item(item("", 0, -1))
            },
            vec![
                "request_id",
                "customer.customer_id",
                "items[0].name",
                "items[0].quantity",
                "items[0].unit_price",
                "workflow",
            ],
        ),
    ];
    for (request, expected) in cases {
        let refused = create(&client, request).await.expect_err(&format!("{expected:?} must be refused"));
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELDS"));
        assert_eq!(fields(&refused), expected, "{}", refused.message());
    }
    for table in ["orders", "requests", "outbox"] {
        assert_eq!(fixture.number(&format!("SELECT count(*) FROM ordering.{table}")).await, 0);
    }
    let first = create(&client, request()).await?;
    assert_eq!(first.number, 1, "what was refused took no number");
    replica.stop().await
}

#[tokio::test]
async fn a_bad_row_of_a_batch_fails_alone() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let (good, repeated) = (request_with_id(), request_with_id());
    let earlier = create(&client, repeated.clone()).await?;
    let bad = CreateOrderRequest { items: vec![item("", 0, 1)], ..request_with_id() };
    let clash = CreateOrderRequest { workflow: "delivery".into(), ..good.clone() };

    let rows = vec![good.clone(), bad, repeated, clash, request()];
    let results = client.batch_create_orders(BatchCreateOrdersRequest { requests: rows }).await?.into_inner().results;
    let outcomes: Vec<_> = results.into_iter().map(|result| result.outcome.expect("each row has one")).collect();
    let [
        Outcome::Created(first),
        Outcome::Error(bad),
        Outcome::Created(second),
        Outcome::Error(clash),
        Outcome::Created(third),
    ] = outcomes.as_slice()
    else {
        panic!("not as the rows were: {outcomes:?}")
    };
    assert!(!first.replayed && second.replayed && !third.replayed);
    assert_eq!(second.order, Some(earlier));
    let violations = bad.get_details_bad_request().expect("names its fields").field_violations;
    let named: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
    assert_eq!(
        (bad.code, named),
        (Code::InvalidArgument as i32, vec!["items[0].name".into(), "items[0].quantity".into()])
    );
    let info = clash.get_details_error_info().expect("has a reason");
    assert_eq!((clash.code, info.reason.as_str()), (Code::InvalidArgument as i32, "IDEMPOTENCY_MISMATCH"));

    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, 3);
    fixture.drained().await;
    assert_eq!(fixture.published().await?.len(), 3);
    replica.stop().await
}

#[tokio::test]
async fn a_batch_of_none_or_of_more_than_a_hundred_is_refused_whole() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    for count in [0, 101] {
        let requests = vec![request(); count];
        let refused =
            client.batch_create_orders(BatchCreateOrdersRequest { requests }).await.expect_err("must be refused");
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["requests".to_string()]));
    }
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, 0);
    let requests = vec![request(); 100];
    let full = client.batch_create_orders(BatchCreateOrdersRequest { requests }).await?.into_inner();
    let created = full.results.iter().filter(|result| matches!(result.outcome, Some(Outcome::Created(_)))).count();
    assert_eq!((created, fixture.number("SELECT count(*) FROM ordering.orders").await), (100, 100));
    replica.stop().await
}

#[tokio::test]
async fn a_request_of_more_than_256_kib_is_refused_by_the_transport() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let mut request = request();
    request.customer.as_mut().expect("has one").name = "a".repeat(256 * 1024);
    let refused = create(&client, request).await.expect_err("too large");
    assert_eq!(refused.code(), Code::OutOfRange);
    replica.stop().await
}

#[tokio::test]
async fn orders_are_taken_without_a_broker_and_published_once_there_is_one() -> Result<()> {
    let mut fixture = Fixture::new().await?;
    let brokers = std::mem::replace(&mut fixture.environment.kafka.kafka_bootstrap_servers, "127.0.0.1:1".into());
    let (replica, client) = fixture.serve().await?;
    let mut created = Vec::new();
    for _ in 0..20 {
        created.push(id(&create(&client, request()).await?));
    }
    replica.serves("comanda.v1.OrderService").await;
    assert_eq!(fixture.unpublished().await, 20);
    replica.stop().await?;

    fixture.environment.kafka.kafka_bootstrap_servers = brokers;
    let replica = fixture.start().await?;
    fixture.drained().await;
    created.sort();
    assert_eq!(fixture.published_ids().await?, created);
    replica.stop().await
}

#[tokio::test]
async fn orders_are_taken_without_a_topic_and_published_once_when_it_is_there() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let mut created = Vec::new();
    for _ in 0..20 {
        created.push(id(&create(&client, request()).await?));
    }
    assert_eq!(fixture.unpublished().await, 20);
    replica.serves("comanda.v1.OrderService").await;

    fixture.environment.create_topic(topics::ORDERS).await?;
    fixture.drained().await;
    created.sort();
    assert_eq!(fixture.published_ids().await?, created);
    replica.stop().await
}
