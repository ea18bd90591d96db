//! Connect and gRPC-Web, in the bytes of their protocols.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{Buf, Bytes};
use comanda_client::testing::{Fake, Script, Step};
use comanda_kit::errors::ApiError;
use comanda_proto::v1::{
    GetOrderRequest, GetOrderResponse, Order, OrderTransition, Phase, WatchOrderRequest, WatchOrderResponse,
    watch_order_response::Event,
};
use prost::Message;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic_types::pb;

use super::fixture::{Events, Gateway, World, answer, order};

/// A message behind its flags and length.
fn envelope(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).expect("small").to_be_bytes(), message].concat()
}

/// Flags and messages of a body.
fn envelopes(mut body: Bytes) -> Vec<(u8, Bytes)> {
    let mut all = Vec::new();
    while body.has_remaining() {
        let flags = body.get_u8();
        let length = body.get_u32() as usize;
        all.push((flags, body.split_to(length)));
    }
    all
}

async fn body(gateway: &Gateway, rpc: &str, kind: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
    let request = gateway.http.post(gateway.url(rpc)).header("content-type", kind).body(body);
    let response = request.send().await.expect("an answer");
    (response.status(), response.bytes().await.expect("a body"))
}

#[tokio::test]
async fn an_order_is_the_same_on_rest_events_connect_grpc_web_and_grpc() {
    let world = World::new().await;
    let gateway = &world.gateway;
    let (status, _, created) = answer(gateway.post("/comanda.v1.OrderService/CreateOrder", &order())).await;
    assert_eq!(status, StatusCode::OK, "{created}");
    let id = created["order"]["orderId"].as_str().expect("an id").to_owned();
    world.shows(&format!("/v1/orders/{id}"), "/order/version", &json!("1")).await;
    comanda_kit::testing::eventually("the order is taken over", async || {
        answer(gateway.get(&format!("/v1/orders/{id}"))).await.2["order"].get("nextTransitionTime").map(drop)
    })
    .await;

    let (_, _, by_rest) = answer(gateway.get(&format!("/v1/orders/{id}"))).await;
    let mut events = Events::open(gateway.get(&format!("/v1/orders/{id}/events?view=ORDER_VIEW_FULL"))).await;
    let by_events = loop {
        let event = events.next().await.expect("the order as it is");
        if event.name == "current" {
            break event.data;
        }
    };
    assert_eq!(by_events, by_rest["order"]);
    let (_, _, by_connect) = answer(gateway.post("/comanda.v1.OrderService/GetOrder", &json!({"orderId": id}))).await;
    assert_eq!(by_connect, by_rest);

    let request = GetOrderRequest {
        key: Some(comanda_proto::v1::get_order_request::Key::OrderId(id.clone())),
        ..Default::default()
    };
    let rpc = "/comanda.v1.OrderService/GetOrder";
    let (status, bytes) = body(gateway, rpc, "application/proto", request.encode_to_vec()).await;
    assert_eq!(status, StatusCode::OK);
    let web = body(gateway, rpc, "application/grpc-web+proto", envelope(&request.encode_to_vec())).await.1;
    let frames = envelopes(web);
    assert_eq!((frames.len(), frames[0].0, &frames[0].1, frames[1].0), (2, 0, &bytes, 0x80));
    assert!(frames[1].1.starts_with(b"grpc-status: 0") || frames[1].1.starts_with(b"grpc-status:0"), "{:?}", frames[1]);
    let channel = world.core.connect().await.expect("it serves");
    let mut grpc = comanda_proto::v1::order_service_client::OrderServiceClient::new(channel);
    let by_grpc: GetOrderResponse = grpc.get_order(request).await.expect("there").into_inner();
    assert_eq!(GetOrderResponse::decode(bytes), Ok(by_grpc));
}

#[tokio::test]
async fn an_error_has_its_code_and_details_on_both() {
    let errors = [(); 2].map(|()| Err(ApiError::order_not_found("x").into()));
    let (_fake, gateway) = Gateway::before(Fake { get: Script::new(errors), ..Default::default() }, &[]).await;
    let (status, _, error) = answer(gateway.post("/comanda.v1.OrderService/GetOrder", &json!({"orderId": "x"}))).await;
    assert_eq!((status, &error["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let detail = &error["details"][0];
    assert_eq!(detail["type"], "google.rpc.ErrorInfo");
    let info = STANDARD_NO_PAD.decode(detail["value"].as_str().expect("a text")).expect("base64");
    assert_eq!(pb::ErrorInfo::decode(&*info).expect("one").reason, "ORDER_NOT_FOUND");

    let request = gateway
        .http
        .post(gateway.url("/comanda.v1.OrderService/GetOrder"))
        .header("content-type", "application/grpc-web+proto")
        .body(envelope(&[]));
    let response = request.send().await.expect("an answer");
    let headers = format!("{:?}", response.headers());
    let body = response.bytes().await.expect("a body");
    let told = format!("{headers}{}", String::from_utf8_lossy(&body));
    assert!(told.contains("grpc-status") && told.contains("grpc-status-details-bin"), "{told}");
}

#[tokio::test]
async fn unknown_fields_are_refused_by_name_here_too() {
    let (_fake, gateway) = Gateway::before(Fake::default(), &[]).await;
    let (status, _, error) = answer(gateway.post("/comanda.v1.OrderService/GetOrder", &json!({"ordrId": "x"}))).await;
    assert_eq!((status, &error["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")));
    assert!(error["message"].as_str().expect("a text").contains("ordrId"), "{error}");
}

#[tokio::test]
async fn a_stream_is_passed_on_in_both_forms() {
    let transition = OrderTransition { version: 1, phase: Phase::Active.into(), ..Default::default() };
    let response = WatchOrderResponse { event: Some(Event::Transition(transition)) };
    let steps = || Ok(vec![Step::Send(response.clone()), Step::Send(response.clone())]);
    let failing = Ok(vec![Step::Send(response.clone()), Step::End(ApiError::unavailable().into())]);
    let fake = Fake { watch_order: Script::new([steps(), failing, steps()]), ..Default::default() };
    let (_fake, gateway) = Gateway::before(fake, &[]).await;
    let rpc = "/comanda.v1.WatchService/WatchOrder";

    let request = envelope(br#"{"orderId": "x"}"#);
    let (status, bytes) = body(&gateway, rpc, "application/connect+json", request.clone()).await;
    let frames = envelopes(bytes);
    assert_eq!((status, frames.len()), (StatusCode::OK, 3));
    let first: Value = serde_json::from_slice(&frames[0].1).expect("JSON");
    assert_eq!(first["transition"]["version"], "1");
    let end: Value = serde_json::from_slice(&frames[2].1).expect("JSON");
    assert_eq!((frames[2].0 & 2, end.get("error")), (2, None));

    let frames = envelopes(body(&gateway, rpc, "application/connect+json", request).await.1);
    let end: Value = serde_json::from_slice(&frames[1].1).expect("JSON");
    assert_eq!(
        (&end["error"]["code"], end["error"]["details"].as_array().map(Vec::len)),
        (&json!("unavailable"), Some(2))
    );

    let request = envelope(&WatchOrderRequest { order_id: "x".into(), ..Default::default() }.encode_to_vec());
    let frames = envelopes(body(&gateway, rpc, "application/grpc-web+proto", request).await.1);
    assert_eq!(frames.iter().map(|(flags, _)| *flags).collect::<Vec<_>>(), [0, 0, 0x80]);
    assert_eq!(WatchOrderResponse::decode(frames[0].1.clone()), Ok(response));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_the_words_of_the_protocol() {
    let (_fake, gateway) = Gateway::before(Fake::default(), &[]).await;
    let large = json!({"customer": {"name": "x".repeat(600 * 1024)}});
    let (_, _, error) = answer(gateway.post("/comanda.v1.OrderService/CreateOrder", &large)).await;
    assert_eq!(error["code"], "out_of_range");
    let answered =
        Fake { get: Script::new([Ok(GetOrderResponse { order: Some(Order::default()) })]), ..Default::default() };
    let (fake, gateway) = Gateway::before(answered, &[]).await;
    let (status, _) = body(&gateway, "/comanda.v1.OrderService/GetOrder", "text/plain", b"{}".to_vec()).await;
    assert_eq!((status, fake.get.asked().len()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, 0));
}
