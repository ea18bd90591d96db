//! Traces: from a call through Kafka to watchers and mails, for those orders whose callers ask for it.

use std::{net::TcpListener, time::Duration};

use comanda_kit::testing::{Published, eventually};
use comanda_proto::{
    topics,
    v1::{
        BatchCreateOrdersRequest, CreateOrderResponse, GetOrderRequest, WatchOrderRequest, get_order_request::Key,
        order_service_client::OrderServiceClient,
    },
};
use futures::{StreamExt, stream};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{Collector, Place, Role, STEP_MS, World, free_address, order, orders};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const CREATE: &str = "comanda.v1.OrderService/CreateOrder";
/// In no log, whatever is logged.
const SECRET: &str = "collector-canary";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

/// A request with a traceparent, and credentials if there are any.
fn traced<T>(message: T, traceparent: &str, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("a value"));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a value"));
    }
    request
}

fn id_of(created: CreateOrderResponse) -> String {
    created.order.expect("an order").order_id
}

async fn create(client: &mut OrderServiceClient<Channel>, traceparent: &str) -> String {
    id_of(client.create_order(traced(order(), traceparent, None)).await.expect("an order").into_inner())
}

fn start(world: &World, args: &[&str], collector: &str) -> Role {
    let mut command = world.command(args);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{SECRET}"))
        .env("RUST_LOG", "trace");
    world.start_as(args[0], command)
}

/// Every record about an order on both topics: the values of their headers `traceparent`.
async fn headers_of(world: &World, order_id: &str) -> Vec<Option<String>> {
    let mut records: Vec<Published> = Vec::new();
    for topic in [topics::ORDERS, topics::ORDER_TRANSITIONS] {
        records.extend(world.environment.records(topic).await.expect("a topic"));
    }
    let of_order = records.into_iter().filter(|record| record.key == order_id);
    of_order.map(|mut record| record.headers.remove(topics::TRACEPARENT)).collect()
}

/// Waits until Kafka has at least `count` records of the order (a record may be published more than once), and checks that all have this header.
async fn has_records(world: &World, order_id: &str, header: Option<String>, count: usize) {
    let headers = eventually(&format!("{count} records of the order"), async || {
        let headers = headers_of(world, order_id).await;
        (headers.len() >= count).then_some(headers)
    })
    .await;
    assert!(headers.iter().all(|found| *found == header), "{headers:?} must be {header:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampled_order_is_followed_to_watchers_and_mails_and_others_are_not() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let mail_dir = world.mail_dir().display().to_string();
    let mut ordering = start(&world, &["ordering"], &collector.url);
    let mut state_machine = start(&world, &["state-machine", "--step-ms", STEP_MS], &collector.url);
    let mut notification = start(&world, &["notification", "--mail-dir", &mail_dir], &collector.url);
    for role in [&mut ordering, &mut state_machine, &mut notification] {
        role.serves().await;
    }
    let mut client = ordering.orders().await;
    let mut others = vec![id_of(client.create_order(order()).await.expect("an order").into_inner())];
    for ignored in [traceparent("00"), "nonsense".into(), traceparent("01").to_uppercase()] {
        others.push(create(&mut client, &ignored).await);
    }
    let followed = create(&mut client, &traceparent("01")).await;
    let watch = WatchOrderRequest { order_id: followed.clone(), ..Default::default() };
    let watch = notification.watches().await.watch_order(traced(watch, &traceparent("01"), None)).await;
    let mut watch = watch.expect("a stream").into_inner();
    while watch.message().await.expect("a stream that ends well").is_some() {}

    let call = collector.only(CREATE).await;
    assert!(call.is_server && call.place.0 == TRACE && call.parent == SPAN, "{call:?}");
    let attributes =
        [("rpc.system", "grpc"), ("rpc.service", "comanda.v1.OrderService"), ("rpc.method", "CreateOrder")];
    for (key, value) in attributes.into_iter().chain([("rpc.grpc.status_code", "0")]) {
        assert_eq!(call.attributes.get(key).map(String::as_str), Some(value), "{call:?}");
    }
    let process = |key: &str| call.resource.get(key).map(String::as_str);
    assert_eq!((process("service.name"), process("comanda.roles")), (Some("comanda"), Some("ordering")));
    let stream = collector.only("comanda.v1.WatchService/WatchOrder").await;
    assert_eq!((&*stream.parent, stream.attributes["rpc.grpc.status_code"].as_str()), (SPAN, "0"));

    let (orders, transitions) = (topic(&world, topics::ORDERS), topic(&world, topics::ORDER_TRANSITIONS));
    let spans = [
        (format!("send {orders}"), 1),
        (format!("process {orders}"), 1),
        (format!("send {transitions}"), 4),
        (format!("push {transitions}"), 4),
        ("send mail".to_owned(), 4),
    ];
    for (name, count) in &spans {
        let found = collector.named(name, *count).await;
        assert_eq!(found.len(), *count, "{name}");
        assert!(found.iter().all(|span| span.links == [call.place.clone()] && span.parent.is_empty()), "{found:?}");
    }
    // By then whatever was to be sent about the others was sent.
    let all = others.iter().chain([&followed]).cloned().collect::<Vec<_>>();
    world.all_delivered(&all).await;
    world.mails_are_files(&all).await;
    for other in &others {
        has_records(&world, other, None, 5).await;
    }
    let header = Some(format!("00-{TRACE}-{}-01", call.place.1));
    has_records(&world, &followed, header.clone(), 5).await;

    world.succeeds(&["republish", "--all"]).await;
    has_records(&world, &followed, header, 10).await;
    has_records(&world, &others[0], None, 10).await;
    collector.named(&format!("process {orders}"), 2).await;
    drop((client, watch));
    world.stop([ordering, state_machine, notification]).await;
    let is_of_order = |links: &[Place], place: &Place| place.0 == TRACE || links == [call.place.clone()];
    assert!(collector.spans().iter().all(|span| is_of_order(&span.links, &span.place)));
    let shown = collector.credentials();
    assert!(!shown.is_empty() && shown.iter().all(|shown| *shown == format!("Bearer {SECRET}")), "{shown:?}");
    assert!(world.logs().iter().all(|(_, log)| !log.contains(SECRET)), "a log has a secret");
}

fn topic(world: &World, name: &str) -> String {
    world.environment.kafka.topic(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_one_call_share_its_trace_and_chance_begins_traces() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let mut all = start(&world, &["all", "--no-mails", "--step-ms", STEP_MS, "--trace-percent", "100"], &collector.url);
    all.serves().await;
    let request = BatchCreateOrdersRequest { requests: orders(20) };
    let mut client = all.orders().await;
    client.batch_create_orders(traced(request, &traceparent("01"), None)).await.expect("orders");
    let call = collector.only("comanda.v1.OrderService/BatchCreateOrders").await;
    let roles = call.resource.get("comanda.roles").map(String::as_str);
    assert_eq!(roles, Some("ordering,state-machine,notification,dispatch,analytics"));
    let sent = collector.named(&format!("send {}", topic(&world, topics::ORDERS)), 1).await;
    assert!(sent.iter().all(|span| span.links == [call.place.clone()]), "{sent:?}");

    client.create_order(order()).await.expect("an order");
    let call = collector.only(CREATE).await;
    assert!(call.parent.is_empty() && call.place.0 != TRACE, "{call:?}");
    client.create_order(traced(order(), &traceparent("00"), None)).await.expect("an order");
    client.get_order(GetOrderRequest { key: Some(Key::Number(1)), ..Default::default() }).await.expect("an order");
    collector.named("comanda.v1.OrderService/GetOrder", 1).await;
    drop(client);
    world.stop([all]).await;
    // The caller of the second one wanted no trace.
    collector.only(CREATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traceparent_comes_through_the_gateway() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let mut all = start(&world, &["all", "--no-mails"], &collector.url);
    all.serves().await;
    all.says("HTTP on ").await;
    let log = all.log();
    let (address, _) = log.split_once("HTTP on ").and_then(|(_, rest)| rest.split_once(',')).expect("an address");
    rustls::crypto::ring::default_provider().install_default().ok();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let row = serde_json::json!({"name": "Palo", "price": 1000});
    for value in ["nonsense", &traceparent("01")] {
        let sent =
            http.post(format!("http://{address}/new_order")).header("traceparent", value).json(&row).send().await;
        assert!(sent.expect("an answer").status().is_success(), "{value}");
    }
    let call = collector.only(CREATE).await;
    assert!(call.place.0 == TRACE && call.parent == SPAN, "{call:?}");

    // What a command does to the order belongs to the trace, too.
    let order_id: String =
        sqlx::query_scalar("SELECT order_id::text FROM ordering.orders WHERE traceparent IS NOT NULL")
            .fetch_one(&world.sql)
            .await
            .expect("one order is traced");
    world.succeeds(&["order", "advance", &order_id, "--addr", &all.address().await.to_string()]).await;
    has_records(&world, &order_id, Some(format!("00-{TRACE}-{}-01", call.place.1)), 3).await;
    world.stop([all]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_begins_no_trace() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let args = ["all", "--access", "required", "--no-http", "--no-mails", "--trace-percent", "100"];
    let mut all = start(&world, &args, &collector.url);
    all.serves().await;
    let key = world.succeeds(&["access", "init", "--tenant", "acme"]).await;
    let (mut client, sampled) = (all.orders().await, traceparent("01"));
    for token in [None, Some("cmd_aaaaaaaaaaaa_b")] {
        let denied = client.create_order(traced(order(), &sampled, token)).await.expect_err("denied");
        assert_eq!(denied.code(), Code::Unauthenticated);
    }
    let mut health = HealthClient::new(all.channel().await);
    health.check(traced(HealthCheckRequest::default(), &sampled, None)).await.expect("anybody may ask");
    client.create_order(traced(order(), &sampled, Some(key.trim()))).await.expect("an order");
    collector.named(CREATE, 1).await;
    drop((client, health));
    world.stop([all]).await;
    let calls: Vec<_> = collector.spans().into_iter().filter(|span| span.is_server).collect();
    assert!(calls.len() == 1 && calls[0].name == CREATE && calls[0].parent == SPAN, "{calls:?}");
}

/// More calls than spans may wait, while none is taken.
const CALLS: usize = 3000;

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_silent_delays_nobody() {
    let world = World::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for address in [free_address(), silent.local_addr().expect("bound")] {
        let collector = format!("http://{address}");
        let mut command = world.command(&["ordering", "--otlp-endpoint", &collector]);
        command.env("RUST_LOG", "info");
        let mut ordering = world.start_as("ordering", command);
        ordering.serves().await;
        let (client, sampled) = (ordering.orders().await, traceparent("01"));
        let calls = stream::iter(0..CALLS).for_each_concurrent(50, |_| is_answered_soon(client.clone(), &sampled));
        timeout(Duration::from_secs(60), calls).await.expect("calls are answered");
        ordering.says("the collector takes no spans").await;
        drop(client);
        let began = Instant::now();
        ordering.stops().await;
        assert!(began.elapsed() < Duration::from_secs(8), "the end took {:?}", began.elapsed());
        assert_eq!(ordering.log().matches("the collector takes no spans").count(), 1);
    }
}

async fn is_answered_soon(mut client: OrderServiceClient<Channel>, traceparent: &str) {
    let (began, request) = (Instant::now(), GetOrderRequest { key: Some(Key::Number(-1)), ..Default::default() });
    let answer = client.get_order(traced(request, traceparent, None)).await;
    assert_eq!(answer.expect_err("no such order").code(), Code::NotFound);
    assert!(began.elapsed() < Duration::from_secs(2), "a call took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_cannot_be_used_is_refused_at_the_start() {
    let world = World::without_topics().await;
    for (wrong, why) in
        [("https://collector:4317", "TLS"), ("http://ana:hunter2@collector:4317", "OTEL_EXPORTER_OTLP_HEADERS")]
    {
        let refused = world.run(&["ordering", "--otlp-endpoint", wrong]).await;
        assert!(
            refused.code == Some(2) && refused.err.contains(why) && !refused.err.contains("hunter2"),
            "{refused:?}"
        );
    }
}
