//! An address whose requests show no good credentials.

use comanda_client::{
    Config as Servers,
    testing::{Fake, Script},
};
use comanda_kit::access::config::{Door, Mode};
use comanda_proto::v1::ListOrdersResponse;
use reqwest::StatusCode;
use serde_json::json;

use super::fixture::{Gateway, answer};

#[tokio::test]
async fn after_many_failures_an_address_is_told_to_wait_but_who_was_let_in_goes_on() {
    let list = Script::new([Ok(ListOrdersResponse::default()), Ok(ListOrdersResponse::default())]);
    let (fake, address) = Fake { list, ..Fake::default() }.serve().await;
    let door = Door { access: Mode::Required, address_failures_per_minute: 3, ..Door::default() };
    let gateway = Gateway::with_door(door, Servers::at(address), &[]);
    let get = |path: &str, token: &str| gateway.get(path).header("authorization", format!("Bearer {token}"));
    let orders = "/v1/orders";
    let status = async |request| answer(request).await.0;
    // The server of the test accepts any credentials.
    assert_eq!(status(get(orders, "good")).await, StatusCode::OK);
    for _ in 0..3 {
        assert_eq!(status(gateway.get(orders)).await, StatusCode::UNAUTHORIZED);
    }
    for request in [gateway.get(orders), get(orders, "a guess"), gateway.get("/t/trk_guess")] {
        let (status, headers, problem) = answer(request).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::TOO_MANY_REQUESTS, &json!("OVERLOADED")));
        assert!(headers.contains_key("retry-after"), "{headers:?}");
    }
    assert_eq!(status(get(orders, "good")).await, StatusCode::OK);
    assert_eq!(fake.list.asked().len(), 2, "what is refused reaches no server");
    for path in ["/board", "/healthz"] {
        assert_eq!(gateway.get(path).send().await.expect("an answer").status(), StatusCode::OK, "{path}");
    }
    gateway.stop().await;
}
