//! Watches as a browser sees them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use comanda_client::{
    Code,
    testing::{Fake, Script, Step},
};
use comanda_kit::errors::ApiError;
use comanda_proto::{
    errors::reason,
    v1::{
        Order, OrderTransition, Phase, SnapshotComplete, WatchOrderResponse, WatchOrdersResponse,
        watch_order_response::Event as OfOrder, watch_orders_request::Start, watch_orders_response::Event as OfOrders,
    },
};
use reqwest::StatusCode;
use serde_json::json;
use tonic::Status;

use super::fixture::{Event, Events, Gateway, World, answer};

#[tokio::test]
async fn an_order_is_followed_to_its_end_and_a_browser_that_comes_again_is_sent_away() {
    let world = World::new().await;
    let id = world.order().await["orderId"].as_str().expect("an id").to_owned();
    let path = format!("/v1/orders/{id}/events");
    let mut events = Events::open(world.gateway.get(&path)).await;
    let first = events.next_news().await.expect("version 1");
    assert_eq!((first.name.as_str(), first.id.as_deref()), ("transition", Some("1")));
    assert_eq!(events.next_news().await.expect("the order").name, "current");

    let (status, _, _) =
        answer(world.gateway.post(&format!("/v1/orders/{id}/cancel"), &json!({"reason": "rain"}))).await;
    assert_eq!(status, StatusCode::OK);
    let last = events.next_news().await.expect("version 2");
    assert_eq!((last.id.as_deref(), &last.data["phase"]), (Some("2"), &json!("PHASE_CANCELLED")));
    assert_eq!(last.data["reason"], "rain");
    assert_eq!(events.next().await.expect("the end").name, "end");
    assert_eq!(events.next().await, None);

    let again = world.gateway.get(&path).header("last-event-id", "2").send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    // Who has not seen the end is shown it.
    let mut events = Events::open(world.gateway.get(&path).header("last-event-id", "1")).await;
    let names = [events.next().await, events.next().await, events.next().await].map(|event| event.expect("one").name);
    assert_eq!(names, ["transition", "current", "end"]);
}

#[tokio::test]
async fn all_orders_are_a_snapshot_without_ids_then_transitions_with_tokens() {
    let world = World::new().await;
    let order = world.order().await;
    let id = order["orderId"].as_str().expect("an id");
    world.shows(&format!("/v1/orders/{id}/transitions"), "/transitions/0/version", &json!("1")).await;
    let path = "/v1/events?customer_id=ana&status=received&status=preparing";
    let mut events = Events::open(world.gateway.get(path)).await;
    let mut seen = Vec::new();
    let complete = loop {
        let event = events.next().await.expect("one more");
        if event.name == "snapshot_complete" {
            break event;
        }
        seen.push(event);
    };
    assert!(seen.iter().all(|event| event.id.is_none()), "{seen:?}");
    let token = complete.id.expect("a token");

    let advance = world.gateway.post(&format!("/v1/orders/{id}/advance"), &json!({"expectedVersion": "1"}));
    assert_eq!(answer(advance).await.0, StatusCode::OK);
    let moved = loop {
        let event = events.next_news().await.expect("a transition");
        if event.data["version"] == "2" {
            break event;
        }
    };
    assert!(moved.id.is_some());
    drop(events);

    // From the token on nothing is missing, and nothing of the snapshot comes again.
    let mut resumed = Events::open(world.gateway.get(path).header("last-event-id", &token)).await;
    let first = resumed.next_news().await.expect("a transition");
    assert_eq!(first.name, "transition");
    let another = world.gateway.get("/v1/events?customer_id=other").header("last-event-id", &token);
    let (status, _, problem) = answer(another).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::BAD_REQUEST, &json!("FILTER_MISMATCH")));
}

fn transition(version: i64, phase: Phase) -> Step<WatchOrderResponse> {
    let transition = OrderTransition { version, phase: phase.into(), ..Default::default() };
    Step::Send(WatchOrderResponse { event: Some(OfOrder::Transition(transition)) })
}

async fn of_order(streams: impl IntoIterator<Item = Result<Vec<Step<WatchOrderResponse>>, Status>>) -> Gateway {
    let fake = Fake { watch_order: Script::new(streams), ..Default::default() };
    Gateway::before(fake, &[]).await.1
}

async fn all(mut events: Events) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event);
    }
    all
}

#[tokio::test]
async fn a_break_is_told_with_a_wait_and_a_clean_end_before_the_order_has_ended_is_one_too() {
    let age = Status::from(ApiError::new(Code::Unavailable, reason::STREAM_AGE, "old"));
    let gateway = of_order([
        Ok(vec![transition(1, Phase::Active), Step::End(age)]),
        Ok(vec![transition(1, Phase::Active)]),
        Ok(vec![transition(2, Phase::Failed), Step::End(Status::unknown("a proxy ends everything"))]),
    ])
    .await;
    for wanted in ["STREAM_AGE", "DEPENDENCY_UNAVAILABLE"] {
        let seen = all(Events::open(gateway.get("/v1/orders/x/events")).await).await;
        let names: Vec<_> = seen.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["transition", "problem"]);
        assert_eq!(seen[1].data["reason"], wanted);
        let wait = seen[1].retry.expect("a wait");
        assert!((1000..=2000).contains(&wait), "{wait}");
        assert_eq!(seen[1].id, None);
    }
    // After the last transition it does not matter how the stream ends.
    let seen = all(Events::open(gateway.get("/v1/orders/x/events")).await).await;
    assert_eq!(seen.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["transition", "end"]);
}

#[tokio::test]
async fn what_repeating_can_help_is_no_status_and_what_it_cannot_is_one() {
    let gateway = of_order([
        Err(ApiError::unavailable().into()),
        Err(ApiError::overloaded().into()),
        Err(ApiError::order_not_found("x").into()),
        Err(ApiError::new(Code::FailedPrecondition, reason::VERSION_AHEAD, "ahead").into()),
    ])
    .await;
    for wanted in ["DEPENDENCY_UNAVAILABLE", "OVERLOADED"] {
        let seen = all(Events::open(gateway.get("/v1/orders/x/events")).await).await;
        assert_eq!((seen.len(), &seen[0].data["reason"]), (1, &json!(wanted)));
    }
    for wanted in [StatusCode::NOT_FOUND, StatusCode::CONFLICT] {
        assert_eq!(answer(gateway.get("/v1/orders/x/events")).await.0, wanted);
    }
    let (status, _, problem) = answer(gateway.get("/v1/orders/x/events?last_event_id=soon")).await;
    assert_eq!((status, &problem["violations"][0]["field"]), (StatusCode::BAD_REQUEST, &json!("last-event-id")));
}

#[tokio::test]
async fn beyond_its_places_the_gateway_says_when_to_come_again() {
    let stream = vec![transition(1, Phase::Active), Step::Stall];
    let fake = Fake { watch_order: Script::new([Ok(stream.clone()), Ok(stream)]), ..Default::default() };
    let (_fake, gateway) = Gateway::before(fake, &["--http-max-streams", "1"]).await;
    let mut first = Events::open(gateway.get("/v1/orders/x/events")).await;
    assert_eq!(first.next().await.expect("one").name, "transition");
    let seen = all(Events::open(gateway.get("/v1/orders/x/events")).await).await;
    assert_eq!((seen[0].name.as_str(), &seen[0].data["reason"]), ("problem", &json!("OVERLOADED")));
    drop(first);
    // Its place is free again.
    comanda_kit::testing::eventually("there is a place", async || {
        let mut events = Events::open(gateway.get("/v1/orders/x/events")).await;
        (events.next().await?.name == "transition").then_some(())
    })
    .await;
}

fn orders_response(event: OfOrders, token: &'static [u8]) -> Step<WatchOrdersResponse> {
    Step::Send(WatchOrdersResponse { event: Some(event), resume_token: Bytes::from_static(token) })
}

fn current() -> Step<WatchOrdersResponse> {
    orders_response(OfOrders::Current(Order { version: 5, ..Default::default() }), &[])
}

fn complete() -> Step<WatchOrdersResponse> {
    orders_response(OfOrders::SnapshotComplete(SnapshotComplete {}), b"new")
}

#[tokio::test]
async fn an_expired_token_is_a_reset_and_then_a_snapshot_on_the_same_connection() {
    let expired = || Status::from(ApiError::new(Code::OutOfRange, reason::TOKEN_EXPIRED, "too old"));
    let moved = || orders_response(OfOrders::Transition(OrderTransition { version: 4, ..Default::default() }), b"t");
    let fake = Fake {
        watch_orders: Script::new([
            // At once, and in the middle.
            Err(expired()),
            Ok(vec![current(), complete(), Step::Stall]),
            Ok(vec![moved(), Step::End(expired())]),
            Ok(vec![current(), complete(), Step::Stall]),
        ]),
        ..Default::default()
    };
    let (fake, gateway) = Gateway::before(fake, &[]).await;
    let old = URL_SAFE_NO_PAD.encode("old");
    for before in [0, 1] {
        let mut events = Events::open(gateway.get("/v1/events?workflow=ride").header("last-event-id", &old)).await;
        for _ in 0..before {
            assert_eq!(events.next().await.expect("one").name, "transition");
        }
        let reset = events.next().await.expect("a reset");
        assert_eq!((reset.name.as_str(), reset.id.as_deref()), ("reset", Some("")));
        let shown = events.next().await.expect("an order");
        assert_eq!((shown.name.as_str(), shown.id), ("current", None));
        let complete = events.next().await.expect("the end of the snapshot");
        assert_eq!((complete.name.as_str(), complete.id), ("snapshot_complete", Some(URL_SAFE_NO_PAD.encode("new"))));
    }
    let asked = fake.watch_orders.asked();
    let token = Some(Start::ResumeToken(Bytes::from_static(b"old")));
    let snapshot = Some(Start::Snapshot(Default::default()));
    let starts: Vec<_> = asked.iter().map(|request| request.start.clone()).collect();
    assert_eq!(starts, [token.clone(), snapshot.clone(), token, snapshot]);
    assert!(asked.iter().all(|request| request.filter.as_ref().is_some_and(|filter| filter.workflow == "ride")));
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_is_a_status() {
    let too_large = ApiError::new(Code::FailedPrecondition, reason::SNAPSHOT_TOO_LARGE, "narrow the filter");
    let fake = Fake { watch_orders: Script::new([Err(too_large.into())]), ..Default::default() };
    let (_fake, gateway) = Gateway::before(fake, &[]).await;
    let (status, _, problem) = answer(gateway.get("/v1/events")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("SNAPSHOT_TOO_LARGE")));
}
