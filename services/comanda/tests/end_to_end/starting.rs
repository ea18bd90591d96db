//! Roles that are started before what they need is there.

use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{Forwarder, STEP_MS, World, at, free_address, order, orders, server};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_schema_every_role_ends_and_says_what_to_do() {
    let world = World::unmigrated().await;
    for role in ["ordering", "state-machine", "notification", "all"] {
        let mut role = world.start(&[role]);
        let end = role.ends().await;
        assert_eq!(end.code(), Some(1), "{}", role.log());
        assert!(role.log().contains("run `comanda migrate` first"), "{}", role.log());
    }
    world.is_discreet();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_topics_orders_are_taken_and_delivered_later() {
    let world = World::without_topics().await;
    let mut ordering = world.start(&["ordering"]);
    let mut state_machine = world.start(&["state-machine", "--step-ms", STEP_MS]);
    let mail_dir = world.mail_dir().display().to_string();
    let mut notification = world.start(&["notification", "--mail-dir", &mail_dir]);
    ordering.serves().await;
    state_machine.serves().await;
    notification.health(ServingStatus::NotServing).await;
    let order_ids = world.create(&ordering.orders().await, &orders(10)).await;
    for role in [&ordering, &state_machine, &notification] {
        role.says("`comanda migrate` makes it").await;
    }
    world.succeeds(&["migrate", "--only", "topics", "--partitions", "3"]).await;
    world.all_delivered(&order_ids).await;
    notification.serves().await;
    world.mails_are_files(&order_ids).await;
    world.stop([ordering, state_machine, notification]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_orders_are_taken_and_delivered_later() {
    let world = World::new().await;
    let nobody = free_address().to_string();
    let mut ordering = world.start(&["ordering", "--kafka-bootstrap-servers", &nobody]);
    ordering.serves().await;
    let order_ids = world.create(&ordering.orders().await, &orders(10)).await;
    let waiting = "SELECT coalesce(sum(cardinality(order_ids)), 0)::bigint FROM ordering.outbox";
    assert_eq!(world.count(waiting).await, 10, "they wait");
    ordering.stops().await;
    let roles = world.start_roles(STEP_MS).await;
    world.all_delivered(&order_ids).await;
    world.mails_are_files(&order_ids).await;
    world.stop(roles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_waited_for() {
    let mut world = World::new().await;
    let url = world.environment.postgres.database_url.clone();
    let (address, postgres) = (free_address(), server(&url));
    world.environment.postgres.database_url = at(&url, address);
    let mail_dir = world.mail_dir().display().to_string();
    let mut roles = [
        world.start(&["ordering"]),
        world.start(&["state-machine", "--step-ms", STEP_MS]),
        world.start(&["notification", "--mail-dir", &mail_dir]),
    ];
    for role in &mut roles {
        assert_eq!(role.first_health().await, ServingStatus::NotServing);
    }
    let mut client = roles[0].orders().await;
    let error = client.create_order(order()).await.expect_err("no database");
    assert_eq!(error.code(), Code::Unavailable, "{error}");

    let forwarder = Forwarder::start(address, &postgres).await;
    for role in &mut roles {
        role.serves().await;
    }
    let mut order_ids = world.create(&client, &orders(10)).await;
    drop(forwarder);
    for role in &mut roles {
        role.health(ServingStatus::NotServing).await;
    }
    let requests = orders(10);
    let (created, forwarder) = tokio::join!(world.create(&client, &requests), Forwarder::start(address, &postgres));
    order_ids.extend(created);
    for role in &mut roles {
        role.serves().await;
    }
    world.all_delivered(&order_ids).await;
    world.mails_are_files(&order_ids).await;
    world.stop(roles).await;
    drop(forwarder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_ends_the_start() {
    let world = World::new().await;
    let mut first = world.start(&["ordering"]);
    let address = first.address().await.to_string();
    let ended = world.run(&["ordering", "--listen", &address]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains(&format!("cannot listen on {address}; choose another address")), "{ended:?}");
    world.stop([first]).await;
}
