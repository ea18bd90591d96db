//! Errors as a caller gets them.

use std::time::Duration;

use comanda_client::{
    Code, Config as Servers,
    testing::{Fake, Script},
};
use comanda_kit::errors::ApiError;
use comanda_proto::errors::reason;
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Status;

use super::fixture::{Gateway, World, address, answer, order};

/// A gateway before a server that refuses each GetOrder in turn.
async fn refusing(errors: impl IntoIterator<Item = Status>) -> Gateway {
    let get = Script::new(errors.into_iter().map(Err));
    Gateway::before(Fake { get, ..Default::default() }, &[]).await.1
}

#[tokio::test]
async fn an_error_of_the_api_keeps_its_details_and_says_when_to_come_again() {
    let unavailable = ApiError::unavailable().retry_after(Duration::from_millis(2100)).with("order_id", "x");
    let overloaded = ApiError::overloaded();
    let gateway = refusing([unavailable.into(), overloaded.into()]).await;
    let (status, headers, problem) = answer(gateway.get("/v1/orders/x")).await;
    assert_eq!((status, &headers["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &"3".parse().expect("a value")));
    assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
    assert_eq!((&problem["code"], &problem["outcome"]), (&json!("UNAVAILABLE"), &json!("unknown")));
    assert_eq!((&problem["reason"], &problem["metadata"]["order_id"]), (&json!("DEPENDENCY_UNAVAILABLE"), &json!("x")));
    let (status, headers, problem) = answer(gateway.get("/v1/orders/x")).await;
    assert_eq!((status, &headers["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().expect("a value")));
    assert_eq!(problem["outcome"], "not_applied");
}

#[tokio::test]
async fn what_the_connection_says_is_not_told() {
    let gateway = refusing([Status::unknown("secret of the proxy")]).await;
    let (status, _, problem) = answer(gateway.get("/v1/orders/x")).await;
    assert_eq!((status, &problem["outcome"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unknown")));
    assert!(!problem.to_string().contains("secret"), "{problem}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_503_and_one_that_is_silent_504() {
    let nobody = { TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound") };
    let gateway = Gateway::start(Servers::at(address(nobody)), &[]);
    let (status, headers, problem) = answer(gateway.get("/v1/orders/x")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers.contains_key("retry-after") && !problem.to_string().contains(&nobody.to_string()));

    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let servers = Servers::at(address(silent.local_addr().expect("bound")));
    let gateway = Gateway::start(Servers { deadline: Duration::from_millis(300), ..servers }, &[]);
    let (status, _, problem) = answer(gateway.get("/v1/orders/x")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::GATEWAY_TIMEOUT, &json!("DEADLINE_EXCEEDED")));
    assert_eq!(problem["outcome"], "unknown");
}

#[tokio::test]
async fn every_offending_field_is_named_whoever_finds_it() {
    let world = World::new().await;
    let fields = |problem: &Value| {
        let violations = problem["violations"].as_array().expect("violations").iter();
        violations.map(|violation| violation["field"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let wrong = json!({"custmer": {}, "items": [{"quantity": "many"}]});
    let (status, _, problem) = answer(world.gateway.post("/v1/orders", &wrong)).await;
    assert_eq!(
        (status, fields(&problem)),
        (StatusCode::BAD_REQUEST, vec!["custmer".into(), "items[0].quantity".into()])
    );

    let wrong = json!({"customer": {"customerId": ""}, "items": [{"name": "", "quantity": 0}]});
    let (status, _, problem) = answer(world.gateway.post("/v1/orders", &wrong)).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::BAD_REQUEST, &json!("INVALID_FIELDS")));
    for field in ["customer.customer_id", "items[0].name", "items[0].quantity"] {
        assert!(fields(&problem).contains(&field.to_owned()), "{problem}");
    }
    let (status, _, problem) = answer(world.gateway.get("/v1/orders?colour=red&page_size=x")).await;
    assert_eq!((status, fields(&problem)), (StatusCode::BAD_REQUEST, vec!["colour".into()]));
}

#[tokio::test]
async fn what_is_no_json_of_a_fair_size_is_refused_before_anything_is_done() {
    let world = World::new().await;
    let url = world.gateway.url("/v1/orders");
    let plain = world.gateway.http.post(&url).header(CONTENT_TYPE, "text/plain").body(order().to_string());
    let (status, _, problem) = answer(plain).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::UNSUPPORTED_MEDIA_TYPE, &json!("UNSUPPORTED_MEDIA_TYPE")));

    let json = |body: String| world.gateway.http.post(&url).header(CONTENT_TYPE, "application/json").body(body);
    let (status, _, problem) = answer(json(" ".repeat(600 * 1024))).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("MESSAGE_TOO_LARGE")));
    // Within the gateway's bound, and above the server's.
    let mut large = order();
    large["labels"] = json!({"note": "x".repeat(400 * 1024)});
    let (status, _, problem) = answer(json(large.to_string())).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("MESSAGE_TOO_LARGE")));
    let (status, _, problem) = answer(json("{\"customer\":".into())).await;
    assert_eq!((status, &problem["violations"][0]["field"]), (StatusCode::BAD_REQUEST, &json!("body")));

    let (_, _, list) = answer(world.gateway.get("/v1/orders")).await;
    assert_eq!(list["orders"], json!([]));
}

#[tokio::test]
async fn an_unknown_path_is_404_and_another_method_405() {
    let gateway = refusing([]).await;
    let (status, _, problem) = answer(gateway.get("/v1/nothing")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::NOT_FOUND, &json!("NO_SUCH_ROUTE")));
    let (status, headers, problem) = answer(gateway.http.delete(gateway.url("/v1/orders/x"))).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::METHOD_NOT_ALLOWED, &json!("METHOD_NOT_ALLOWED")));
    assert!(headers["allow"].to_str().expect("ASCII").contains("GET"));
}

#[tokio::test]
async fn no_error_is_kept_by_a_cache() {
    let gateway =
        refusing([ApiError::new(Code::NotFound, reason::ORDER_NOT_FOUND, "there is no order x").into()]).await;
    let (status, headers, _) = answer(gateway.get("/v1/orders/x")).await;
    assert_eq!((status, &headers["cache-control"]), (StatusCode::NOT_FOUND, &"no-store".parse().expect("a value")));
    assert_eq!(headers["x-content-type-options"], "nosniff");
}
