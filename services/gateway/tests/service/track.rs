//! The tracking page of one order, and what its token gives access to.

use std::time::Duration;

use comanda_kit::tracking::Keys;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixture::{Events, World, answer, order};

/// A new order: its id and its token.
async fn created(world: &World) -> (String, String) {
    let (status, _, body) = answer(world.gateway.post("/v1/orders", &order())).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).expect(pointer).to_owned();
    (text("/order/orderId"), text("/trackingToken"))
}

fn is_private(response: &Response) {
    let headers = response.headers();
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(headers["x-robots-tag"].to_str().expect("ASCII").contains("noindex"));
}

#[tokio::test]
async fn a_token_shows_its_order_without_who_ordered_and_its_events_to_the_end() {
    let world = World::new().await;
    let (id, token) = created(&world).await;
    let page = world.gateway.get(&format!("/t/{token}")).send().await.expect("an answer");
    assert_eq!(
        (page.status(), page.headers()["content-type"].to_str().expect("ASCII")),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    is_private(&page);

    let (status, _, body) = answer(world.gateway.get(&format!("/t/{token}/order"))).await;
    assert_eq!(
        (status, &body["order"]["orderId"], &body["order"]["status"]),
        (StatusCode::OK, &json!(id), &json!("received"))
    );
    assert_eq!(body["order"]["items"][0]["name"], "Pizza");
    assert!(!body.to_string().contains("ana"), "{body}");
    let (status, _, body) = answer(world.gateway.get(&format!("/t/{token}/workflows/delivery?revision=1"))).await;
    assert_eq!((status, &body["workflow"]["name"]), (StatusCode::OK, &json!("delivery")));

    let mut events = Events::open(world.gateway.get(&format!("/t/{token}/events"))).await;
    let first = events.next_news().await.expect("version 1");
    assert_eq!((first.name.as_str(), first.id.as_deref()), ("transition", Some("1")));
    let current = events.next_news().await.expect("the order");
    assert_eq!(
        (current.name.as_str(), current.data.get("customer").unwrap_or(&Value::Null)),
        ("current", &Value::Null)
    );
    let cancelled = answer(world.gateway.post(&format!("/v1/orders/{id}/cancel"), &json!({"reason": "rain"}))).await;
    assert_eq!(cancelled.0, StatusCode::OK);
    assert_eq!(events.next_news().await.expect("version 2").id.as_deref(), Some("2"));
    assert_eq!(events.next().await.expect("the end").name, "end");
    let again = world.gateway.get(&format!("/t/{token}/events?last_event_id=2")).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_is_404_and_says_the_same() {
    let world = World::new().await;
    let (id, token) = created(&world).await;
    let id = Uuid::try_parse(&id).expect("a UUID");
    let keys = |lifetime| Keys::of_pem(world.tracking.as_bytes(), lifetime).expect("valid keys");
    let expired = keys(Duration::ZERO).token("default", id).expect("signed");
    let of_another_tenant = keys(Duration::from_secs(60)).token("acme", id).expect("signed");
    let of_no_order = keys(Duration::from_secs(60)).token("default", Uuid::now_v7()).expect("signed");
    let changed = format!("{}A", &token[..token.len() - 1]);
    let mut told = Vec::new();
    for wrong in [&expired, &of_another_tenant, &of_no_order, &changed, "trk_", "x", "trk_%00"] {
        let page = world.gateway.get(&format!("/t/{wrong}")).send().await.expect("an answer");
        assert_eq!(page.status(), StatusCode::NOT_FOUND, "{wrong}");
        is_private(&page);
        assert!(page.text().await.expect("a text").contains("not valid"), "{wrong}");
        for part in ["order", "events"] {
            let response = world.gateway.get(&format!("/t/{wrong}/{part}")).send().await.expect("an answer");
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{wrong} {part}");
            told.push(response.text().await.expect("a text"));
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_token_reaches_nothing_else() {
    let world = World::new().await;
    let ((id, token), (other, _)) = (created(&world).await, created(&world).await);
    let with_token = |request: reqwest::RequestBuilder| request.bearer_auth(&token);
    let get = |path: String| answer(with_token(world.gateway.get(&path)));
    assert_eq!(get(format!("/v1/orders/{id}")).await.0, StatusCode::OK);
    for (path, expected) in [
        (format!("/v1/orders/{other}"), StatusCode::NOT_FOUND),
        (format!("/v1/orders/{other}/events"), StatusCode::NOT_FOUND),
        ("/v1/orders".to_owned(), StatusCode::FORBIDDEN),
        ("/v1/events".to_owned(), StatusCode::FORBIDDEN),
        (format!("/v1/orders/{id}/transitions"), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(get(path.clone()).await.0, expected, "{path}");
    }
    let cancel = with_token(world.gateway.post(&format!("/v1/orders/{id}/cancel"), &json!({})));
    assert_eq!(answer(cancel).await.0, StatusCode::FORBIDDEN);
    // Programs that check mails open links, and more.
    for method in [reqwest::Method::HEAD, reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::DELETE] {
        let url = world.gateway.url(&format!("/t/{token}"));
        world.gateway.http.request(method, url).send().await.expect("an answer");
    }
    let (_, _, body) = answer(world.gateway.get(&format!("/v1/orders/{id}"))).await;
    assert_eq!(body["order"]["version"], "1");
}
