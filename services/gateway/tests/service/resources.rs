//! Orders as resources.

use comanda_kit::testing::eventually;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::fixture::{World, answer, order};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

#[tokio::test]
async fn an_order_is_created_once_for_a_key_and_then_shown_again_with_200() {
    let world = World::new().await;
    let create = |body: &Value| world.gateway.post("/v1/orders", body).header("idempotency-key", KEY);

    let (status, headers, first) = answer(create(&order())).await;
    assert_eq!(status, StatusCode::CREATED);
    let id = first["order"]["orderId"].as_str().expect("an id").to_owned();
    assert_eq!(headers["location"], format!("/v1/orders/{id}"));
    assert_eq!((&headers["etag"], headers.get("idempotency-replayed")), (&"\"1\"".parse().expect("a value"), None));
    assert_eq!(first["order"]["version"], "1");
    assert_eq!(first["replayed"], false);

    // The state machine takes the order over in between, which is no change of the order but shows in it.
    world.shows(&format!("/v1/orders/{id}"), "/order/version", &json!("1")).await;
    eventually("the order has a timer", async || {
        let (_, _, shown) = answer(world.gateway.get(&format!("/v1/orders/{id}"))).await;
        shown["order"].get("nextTransitionTime").map(drop)
    })
    .await;
    let (status, headers, again) = answer(create(&order())).await;
    assert_eq!((status, &headers["idempotency-replayed"]), (StatusCode::OK, &"true".parse().expect("a value")));
    assert_eq!(headers["location"], format!("/v1/orders/{id}"));
    let (_, _, shown) = answer(world.gateway.get(&format!("/v1/orders/{id}"))).await;
    assert_eq!(again["order"], shown["order"]);

    let mut other = order();
    other["items"][0]["quantity"] = json!(3);
    let (status, _, problem) = answer(create(&other)).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("IDEMPOTENCY_MISMATCH")));
}

#[tokio::test]
async fn a_stale_if_match_is_412_and_changes_nothing() {
    let world = World::new().await;
    let id = world.order().await["orderId"].as_str().expect("an id").to_owned();
    let (advance, cancel) = (format!("/v1/orders/{id}/advance"), format!("/v1/orders/{id}/cancel"));

    let (status, headers, moved) = answer(world.gateway.post(&advance, &json!({})).header("if-match", "\"1\"")).await;
    assert_eq!((status, &headers["etag"]), (StatusCode::OK, &"\"2\"".parse().expect("a value")));
    assert_eq!(moved["transition"]["toStatus"], "preparing");

    let (status, _, problem) = answer(world.gateway.post(&cancel, &json!({})).header("if-match", "\"1\"")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::PRECONDITION_FAILED, &json!("VERSION_MISMATCH")));
    assert_eq!((&problem["metadata"]["version"], &problem["outcome"]), (&json!("2"), &json!("not_applied")));
    let (status, _, problem) = answer(world.gateway.post(&cancel, &json!({"expectedVersion": "1"}))).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("VERSION_MISMATCH")));

    let (_, _, history) = answer(world.gateway.get(&format!("/v1/orders/{id}/transitions"))).await;
    assert_eq!(history["transitions"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_command_that_is_repeated_with_its_key_is_applied_once() {
    let world = World::new().await;
    let id = world.order().await["orderId"].as_str().expect("an id").to_owned();
    let advance =
        || world.gateway.post(&format!("/v1/orders/{id}/advance"), &json!({})).header("idempotency-key", "next");
    let (_, _, first) = answer(advance()).await;
    let (status, headers, again) = answer(advance()).await;
    assert_eq!((status, &headers["idempotency-replayed"]), (StatusCode::OK, &"true".parse().expect("a value")));
    assert_eq!(again["transition"], first["transition"]);
    assert_eq!(again["replayed"], true);
}

#[tokio::test]
async fn orders_are_found_by_number_in_lists_and_together() {
    let world = World::new().await;
    let (one, two) = (world.order().await, world.order().await);
    let number = one["number"].as_str().expect("numbers of 64 bits are texts");
    let (_, _, found) = answer(world.gateway.get(&format!("/v1/orders/by-number/{number}"))).await;
    assert_eq!(found["order"]["orderId"], one["orderId"]);

    let list = async |query: &str| answer(world.gateway.get(&format!("/v1/orders?{query}"))).await.2;
    let first = list("page_size=1&phase=PHASE_ACTIVE&customerId=ana").await;
    assert_eq!(first["orders"][0]["orderId"], two["orderId"]);
    let token = first["nextPageToken"].as_str().expect("a token");
    let rest = list(&format!("page_size=1&phase=PHASE_ACTIVE&customerId=ana&page_token={}", escaped(token))).await;
    assert_eq!(rest["orders"][0]["orderId"], one["orderId"]);
    assert_eq!(list("status=delivered").await["orders"], json!([]));

    let ids = json!({"orderIds": [two["orderId"], one["orderId"]], "view": "ORDER_VIEW_BASIC"});
    let (_, _, both) = answer(world.gateway.post("/v1/orders/batch-get", &ids)).await;
    assert_eq!(both["orders"].as_array().map(Vec::len), Some(2));
    assert_eq!(both["orders"][0]["orderId"], two["orderId"]);
}

#[tokio::test]
async fn each_row_of_a_batch_has_an_order_or_an_error_with_its_details() {
    let world = World::new().await;
    let rows = json!({"requests": [order(), {"customer": {"customerId": "ana"}}]});
    let create = || world.gateway.post("/v1/orders/batch", &rows).header("idempotency-key", "batch-1");
    let (status, _, first) = answer(create()).await;
    assert_eq!(status, StatusCode::OK);
    let error = &first["results"][1]["error"];
    assert_eq!(error["code"], 3);
    let kinds: Vec<_> = error["details"].as_array().expect("details").iter().map(|d| &d["@type"]).collect();
    assert!(kinds.contains(&&json!("type.googleapis.com/google.rpc.BadRequest")), "{kinds:?}");
    let (_, _, again) = answer(create()).await;
    let order_id = |body: &Value| body["results"][0]["created"]["order"]["orderId"].clone();
    assert_eq!((order_id(&again), &again["results"][0]["created"]["replayed"]), (order_id(&first), &json!(true)));
}

#[tokio::test]
async fn workflows_mails_and_calls_of_roles_that_do_not_run_are_told() {
    let world = World::new().await;
    let (_, _, workflow) = answer(world.gateway.get("/v1/workflows/delivery")).await;
    assert_eq!(workflow["workflow"]["statuses"][0]["labels"]["es"], "recibido");
    let (status, _, problem) = answer(world.gateway.get("/v1/workflows/none")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::NOT_FOUND, &json!("WORKFLOW_NOT_FOUND")));
    let (status, _, mails) = answer(world.gateway.get("/v1/mails?page_size=5")).await;
    assert_eq!((status, &mails["mails"]), (StatusCode::OK, &json!([])));
    let (status, _, problem) = answer(world.gateway.get("/v1/couriers")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::NOT_IMPLEMENTED, &json!("UNKNOWN_RPC")));
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
