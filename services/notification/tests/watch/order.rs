//! WatchOrder when nothing goes wrong, and what it refuses.

use std::time::{Duration, Instant};

use comanda_proto::v1::{
    OrderView, Phase, WatchOrderRequest, WatchOrdersRequest, watch_order_response, watch_orders_response,
};
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{Said::*, *};

#[tokio::test]
async fn history_comes_first_then_the_order_then_what_happens_and_the_end_is_ok() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    world.step(order_id).await;

    let mut stream = watch(&mut client(&replica).await, order_id, 0).await.expect("opened");
    assert_eq!(said(&mut stream).await, Moved(1));
    assert_eq!(said(&mut stream).await, Moved(2));
    assert_eq!(said(&mut stream).await, Current(2));
    world.step(order_id).await;
    assert_eq!(said(&mut stream).await, Moved(3));
    world.step_to(order_id, Phase::Succeeded).await;
    assert_eq!(said(&mut stream).await, Moved(4));
    assert_eq!(said(&mut stream).await, Ended);
}

#[tokio::test]
async fn any_version_resumes_on_any_replica() {
    let world = World::new().await;
    let order_id = world.order("ana").await;
    for _ in 0..4 {
        world.step(order_id).await;
    }
    world.step_to(order_id, Phase::Cancelled).await;
    for replica in [world.replica(config()).await, world.replica(config()).await] {
        let mut client = client(&replica).await;
        for after_version in 0..=6 {
            let mut stream = watch(&mut client, order_id, after_version).await.expect("opened");
            for version in after_version + 1..=6 {
                assert_eq!(said(&mut stream).await, Moved(version));
            }
            assert_eq!(said(&mut stream).await, Current(6));
            assert_eq!(said(&mut stream).await, Ended);
        }
    }
}

#[tokio::test]
async fn a_history_of_many_pages_comes_whole() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    for steps in [255, 1, 600] {
        let last = world.commit(order_id, steps, Phase::Active).await;
        let mut stream = watch(&mut client(&replica).await, order_id, 0).await.expect("opened");
        assert_eq!(versions(&up_to(&mut stream, last).await), (1..=last).collect::<Vec<_>>());
        assert_eq!(said(&mut stream).await, Current(last));
    }
}

#[tokio::test]
async fn a_history_that_ends_with_its_page_is_followed_by_the_order_all_the_same() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let last = world.commit(order_id, 255, Phase::Succeeded).await;
    let mut stream = watch(&mut client(&replica).await, order_id, 0).await.expect("opened");
    up_to(&mut stream, last).await;
    assert_eq!(said(&mut stream).await, Current(last));
    assert_eq!(said(&mut stream).await, Ended);
}

#[tokio::test]
async fn an_order_can_be_watched_before_the_state_machine_knows_it() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.silent_order("ana").await;
    world.execute("DELETE FROM state_machine.transitions").await;
    world.execute("DELETE FROM state_machine.states").await;
    let mut stream = watch(&mut client(&replica).await, order_id, 0).await.expect("opened");
    assert_eq!(said(&mut stream).await, Moved(1));
    assert_eq!(said(&mut stream).await, Current(1));
}

#[tokio::test]
async fn a_hundred_watchers_get_each_version_once_and_in_order() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(watch(&mut client, order_id, 0).await.expect("opened"));
    }
    for _ in 0..20 {
        world.step(order_id).await;
    }
    for mut stream in streams {
        let all = up_to(&mut stream, 21).await;
        assert_eq!(versions(&all), (1..=21).collect::<Vec<_>>());
        assert_eq!(all[1], Current(1));
    }
}

#[tokio::test]
async fn silence_brings_heartbeats_with_the_last_version() {
    let world = World::new().await;
    let mut config = config();
    config.watch_heartbeat_ms = 50;
    let replica = world.replica(config).await;
    let order_id = world.order("ana").await;
    let mut stream = watch(&mut client(&replica).await, order_id, 0).await.expect("opened");
    for expected in [Moved(1), Current(1), Heartbeat(1), Heartbeat(1)] {
        assert_eq!(said(&mut stream).await, expected);
    }
    world.step(order_id).await;
    up_to(&mut stream, 2).await;
    assert_eq!(said(&mut stream).await, Heartbeat(2));
}

#[tokio::test]
async fn an_old_stream_ends_with_its_version_and_resumes() {
    let world = World::new().await;
    let mut config = config();
    config.watch_age_ms = 200;
    let replica = world.replica(config).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;
    let mut stream = watch(&mut client, order_id, 0).await.expect("opened");
    assert_eq!(said(&mut stream).await, Moved(1));
    assert_eq!(said(&mut stream).await, Current(1));
    assert_eq!(said(&mut stream).await, refused(Code::Unavailable, "STREAM_AGE", Some(1)));
    let mut stream = watch(&mut client, order_id, 1).await.expect("resumed");
    assert_eq!(said(&mut stream).await, Current(1));
}

#[tokio::test]
async fn a_deadline_ends_a_stream_that_was_opened_in_time() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;
    let mut one = tonic::Request::new(WatchOrderRequest { order_id: order_id.to_string(), ..Default::default() });
    one.set_timeout(Duration::from_millis(1500));
    let mut many = tonic::Request::new(WatchOrdersRequest { start: Some(now()), ..Default::default() });
    many.set_timeout(Duration::from_millis(1500));
    let started = Instant::now();
    let mut one = client.watch_order(one).await.expect("opened in time").into_inner();
    let mut many = client.watch_orders(many).await.expect("opened in time").into_inner();
    assert_eq!(up_to(&mut one, 1).await, [Moved(1)]);
    assert_eq!(said(&mut one).await, Current(1));
    assert_eq!(told(&mut many).await.0, Told::Heartbeat);
    assert_eq!(said(&mut one).await, refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", Some(1)));
    let (end, _) = told(&mut many).await;
    let Told::Refused(Refused(code, _, token)) = end else { panic!("{end:?}") };
    assert!(code == Code::DeadlineExceeded && token.is_some());
    assert!((1400..10_000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn personal_data_is_shown_to_those_who_ask_for_it() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;
    for (view, name) in [(OrderView::Unspecified, ""), (OrderView::Basic, ""), (OrderView::Full, "Ana")] {
        let request = WatchOrderRequest { order_id: order_id.to_string(), after_version: 1, view: view.into() };
        let mut one = client.watch_order(request).await.expect("opened").into_inner();
        let Some(watch_order_response::Event::Current(order)) = one.message().await.expect("sent").expect("one").event
        else {
            panic!("not the order")
        };
        let request = WatchOrdersRequest { start: Some(snapshot()), view: view.into(), ..Default::default() };
        let mut many = client.watch_orders(request).await.expect("opened").into_inner();
        let first = many.message().await.expect("sent").expect("one").event;
        assert_eq!(first, Some(watch_orders_response::Event::Current(order.clone())));
        let customer = order.customer.expect("a customer");
        assert_eq!((customer.customer_id.as_str(), customer.name.as_str()), ("ana", name), "{view:?}");
        assert_eq!(customer.email.is_empty(), name.is_empty(), "{view:?}");
    }
    let unknown = WatchOrderRequest { order_id: order_id.to_string(), view: 99, ..Default::default() };
    let status = client.watch_order(unknown).await.expect_err("no such view");
    assert_eq!(error(&status), refused(Code::InvalidArgument, "INVALID_FIELDS", None));
    assert!(status.message().contains("view"), "{status:?}");
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;

    let ahead = watch(&mut client, order_id, 2).await.expect_err("version 2 is to come");
    assert_eq!(error(&ahead), refused(Code::FailedPrecondition, "VERSION_AHEAD", Some(1)));
    let unknown = watch(&mut client, Uuid::now_v7(), 0).await.expect_err("nobody ordered this");
    assert_eq!(error(&unknown), refused(Code::NotFound, "ORDER_NOT_FOUND", None));
    let request = WatchOrderRequest { order_id: "x".into(), after_version: -1, ..Default::default() };
    let invalid = client.watch_order(request).await.expect_err("no id");
    assert_eq!(error(&invalid), refused(Code::InvalidArgument, "INVALID_FIELDS", None));
    let too_large = WatchOrderRequest { order_id: "x".repeat(65 * 1024), ..Default::default() };
    assert_eq!(client.watch_order(too_large).await.expect_err("too large").code(), Code::OutOfRange);
}
