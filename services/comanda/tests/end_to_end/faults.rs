//! Orders on their way while processes are killed and frozen, and while Kafka loses its log.

use std::collections::BTreeSet;

use comanda_kit::testing::eventually;
use comanda_proto::{
    events::OrderTransition,
    topics,
    v1::{order_service_client::OrderServiceClient, watch_service_client::WatchServiceClient},
};

use crate::harness::{Role, SmtpServer, Watch, World, balanced, orders};

/// Long enough to do something between two steps of an order.
const STEP_MS: &str = "500";
const SENT: &str = "SELECT count(*) FROM notification.mails WHERE state = 4";
const ORDERS: &str = "SELECT count(*) FROM ordering.orders";
const TRANSITIONS: &str = "SELECT count(*) FROM state_machine.transitions";

#[tokio::test(flavor = "multi_thread")]
async fn killing_every_role_loses_nothing_and_repeats_nothing() {
    let (world, mails) = (World::new().await, SmtpServer::start().await);
    let [mut ordering, mut state_machine, mut notification] = roles(&world, &mails);
    let watch = watch(&mut notification).await;
    let (client, requests) = (ordering.orders().await, orders(60));
    let (order_ids, ()) = tokio::join!(world.create_one_by_one(&client, &requests), async {
        world.reaches(ORDERS, 20).await;
        ordering.kill();
        assert!(world.count(ORDERS).await < 60, "killed in the middle");
        ordering.start_again();
        world.reaches(TRANSITIONS, 100).await;
        state_machine.kill();
        assert!(world.count(TRANSITIONS).await < 240, "killed in the middle");
        state_machine.start_again();
        world.reaches(SENT, 100).await;
        notification.kill();
        assert!(world.count(SENT).await < 240, "killed in the middle");
        notification.start_again();
    });
    world.all_delivered(&order_ids).await;
    watch.sees(&order_ids, &[1, 2, 3, 4]).await;
    let repeated = world.mails_are_sent(&mails, &order_ids).await;
    println!("{repeated} mails were sent again, watches ended with {:?}", watch.ends());
    assert_eq!(world.create(&client, &requests).await, order_ids, "a request id stands for the same order for ever");
    world.stores_exactly(&order_ids).await;
    drop(watch);
    world.stop([ordering, state_machine, notification]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_take_over_from_leaders_that_are_killed() {
    let (world, mails) = (World::new().await, SmtpServer::start().await);
    let ([mut o1, mut s1, mut n1], [mut o2, mut s2, mut n2]) = (roles(&world, &mails), roles(&world, &mails));
    for role in [&mut o1, &mut o2, &mut s1, &mut s2, &mut n1, &mut n2] {
        role.serves().await;
    }
    let (mut ordering, mut state_machine, mut notification) = ([o1, o2], [s1, s2], [n1, n2]);
    let watch = Watch::start(WatchServiceClient::new(balanced(&mut notification).await)).await;
    let client = OrderServiceClient::new(balanced(&mut ordering).await);
    let requests = orders(60);
    let (order_ids, ()) = tokio::join!(world.create_one_by_one(&client, &requests), async {
        world.reaches(ORDERS, 20).await;
        let leader = world.leader("ordering", &ordering).await;
        ordering[leader].kill();
        assert!(world.count(ORDERS).await < 60, "killed in the middle");
        world.reaches(TRANSITIONS, 100).await;
        let leader = world.leader("state_machine", &state_machine).await;
        state_machine[leader].kill();
        notification[0].kill();
        assert!(world.count(TRANSITIONS).await < 240, "killed in the middle");
    });
    world.all_delivered(&order_ids).await;
    watch.sees(&order_ids, &[1, 2, 3, 4]).await;
    world.mails_are_sent(&mails, &order_ids).await;
    drop(watch);
    let [_, second] = notification;
    world.stop([second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_that_wakes_up_moves_nothing() {
    let world = World::new().await;
    let mut ordering = world.start(&["ordering"]);
    let mut state_machines = [(); 2].map(|()| world.start(&["state-machine", "--step-ms", "1000"]));
    for role in &mut state_machines {
        role.serves().await;
    }
    let order_ids = world.create(&ordering.orders().await, &orders(40)).await;
    world.reaches(TRANSITIONS, 40).await;
    let frozen = world.leader("state_machine", &state_machines).await;
    state_machines[frozen].signal("STOP");
    let leads = eventually("the other replica leads", async || {
        let leader = world.leader("state_machine", &state_machines).await;
        (leader != frozen).then_some(leader)
    })
    .await;
    let epoch = world.count("SELECT epoch FROM state_machine.lease").await;
    state_machines[frozen].signal("CONT");
    state_machines[frozen].says("this replica no longer leads").await;
    world.all_delivered(&order_ids).await;
    assert_eq!(world.leader("state_machine", &state_machines).await, leads);
    assert_eq!(world.count("SELECT epoch FROM state_machine.lease").await, epoch, "no other replica has led since");
    world.stop(state_machines.into_iter().chain([ordering])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_kafkas_log_loses_nothing_and_mails_nothing_twice() {
    let (world, mails) = (World::new().await, SmtpServer::start().await);
    let [mut ordering, state_machine, mut notification] = roles(&world, &mails);
    let watch = watch(&mut notification).await;
    let client = ordering.orders().await;
    let mut order_ids = world.create(&client, &orders(20)).await;
    world.reaches(TRANSITIONS, 40).await;
    for topic in [topics::ORDERS, topics::ORDER_TRANSITIONS] {
        world.environment.delete_topic(topic).await.expect("a topic that can be deleted");
    }
    order_ids.extend(world.create(&client, &orders(10)).await);
    world.succeeds(&["migrate", "--only", "topics", "--partitions", "3"]).await;
    let told = world.succeeds(&["republish", "--all"]).await;
    assert!(told.starts_with("30 orders"), "{told}");

    world.reaches("SELECT count(*) FROM state_machine.states WHERE status = 'delivered'", 30).await;
    assert_eq!(world.mails_are_sent(&mails, &order_ids).await, 0, "no mail is sent twice");
    world.stores_exactly(&order_ids).await;
    world.history_is_dense().await;
    eventually("the new log tells everything", async || {
        let records = world.environment.records(topics::ORDER_TRANSITIONS).await.expect("a topic that can be read");
        let events = records.iter().map(|record| record.event::<OrderTransition>());
        let told: BTreeSet<_> = events.map(|transition| (transition.order_id, transition.version)).collect();
        (told.len() == 120).then_some(())
    })
    .await;
    assert!(world.count("SELECT topic_epoch FROM ordering.topic_log").await > 1);
    assert!(world.count("SELECT topic_epoch FROM state_machine.topic_log").await > 1);
    ordering.says("KAFKA LOST THE LOG").await;
    state_machine.says("KAFKA LOST THE LOG").await;

    eventually("the watch is told to start again", async || {
        watch.ends().contains(&"TOKEN_EXPIRED".into()).then_some(())
    })
    .await;
    let after = world.create(&client, &orders(3)).await;
    watch.sees(&after, &[1, 2, 3, 4]).await;
    drop(watch);
    world.stop([ordering, state_machine, notification]).await;
}

/// One of each, with mails to a server.
fn roles(world: &World, mails: &SmtpServer) -> [Role; 3] {
    [
        world.start(&["ordering"]),
        world.start(&["state-machine", "--step-ms", STEP_MS]),
        world.start(&["notification", "--smtp-url", &mails.url]),
    ]
}

async fn watch(notification: &mut Role) -> Watch {
    notification.serves().await;
    Watch::start(notification.watches().await).await
}
