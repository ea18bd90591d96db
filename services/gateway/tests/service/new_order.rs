//! The routes of the first description, as its own programs call them.

use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::fixture::{World, answer};

async fn text(request: reqwest::RequestBuilder) -> (StatusCode, String, String) {
    let response = request.send().await.expect("an answer");
    let kind = response.headers()[CONTENT_TYPE].to_str().expect("ASCII").to_owned();
    (response.status(), kind, response.text().await.expect("a text"))
}

#[tokio::test]
async fn an_order_is_sent_and_what_is_empty_is_refused_in_the_same_words() {
    let world = World::new().await;
    let send = |body: &Value| text(world.gateway.post("/new_order", body));
    let (status, kind, body) = send(&json!({"name": "Palo", "price": 1000})).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json; charset=utf-8"));
    let sent: Value = serde_json::from_str(&body).expect("JSON");
    assert!(body.starts_with(r#"{"message":"Orden enviada","order_id":""#), "{body}");
    let (_, _, shown) =
        answer(world.gateway.get(&format!("/v1/orders/{}", sent["order_id"].as_str().expect("an id")))).await;
    assert_eq!(shown["order"]["number"], sent["number"].to_string());

    for empty in [json!({}), json!({"name": "Palo"}), json!({"name": "", "price": 1}), json!({"name": "x", "price": 0})]
    {
        let (status, _, body) = send(&empty).await;
        assert_eq!((status, body.as_str()), (StatusCode::BAD_REQUEST, r#"{"message":".body vacio"}"#), "{empty}");
    }
    for (field, wrong) in
        [("price", json!({"name": "Palo", "price": "cheap"})), ("name", json!({"name": {}, "price": 1}))]
    {
        let (status, _, body) = send(&wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.contains(&format!(r#""field":"{field}""#)), "{body}");
    }
    let (status, _, body) = send(&json!({"name": "Palo", "price": 1.005})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("items[0].unit_price"), "{body}");
}

#[tokio::test]
async fn the_same_key_sends_one_order() {
    let world = World::new().await;
    let body = json!({"name": "Palo", "price": "10.40"});
    let send = || answer(world.gateway.post("/new_order", &body).header("idempotency-key", "row 7"));
    assert_eq!(send().await.2["order_id"], send().await.2["order_id"]);
    let (_, _, rows) = answer(world.gateway.get("/orders")).await;
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn every_row_is_listed_with_the_columns_of_the_first_table() {
    let world = World::new().await;
    assert_eq!(text(world.gateway.get("/orders")).await.2, "[]");
    let body = json!({"name": "Pepper - Roasted, Red", "price": 10.4});
    let (_, _, sent) = answer(world.gateway.post("/new_order", &body)).await;
    let (id, number) = (sent["order_id"].as_str().expect("an id").to_owned(), sent["number"].clone());
    let row = |status: &str| {
        format!(r#"[{{"id":{number},"product_name":"Pepper - Roasted, Red","price":"10.4","status":"{status}"}}]"#)
    };
    assert_eq!(text(world.gateway.get("/orders")).await.2, row("recibido"));
    answer(world.gateway.post(&format!("/v1/orders/{id}/advance"), &json!({"expectedVersion": 1}))).await;
    world.shows("/orders", "/0/status", &json!("preparando")).await;
    assert_eq!(text(world.gateway.get("/orders")).await.2, row("preparando"));
}

#[tokio::test]
async fn all_pages_make_one_array_and_each_can_be_had_alone() {
    let world = World::new().await;
    for _ in 0..12 {
        let rows: Vec<_> = (0..100).map(|_| super::fixture::order()).collect();
        answer(world.gateway.post("/v1/orders/batch", &json!({"requests": rows}))).await;
    }
    let (_, _, all) = answer(world.gateway.get("/orders")).await;
    let ids = |rows: &Value| rows.as_array().expect("rows").iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all).len(), 1200);

    let (mut one_by_one, mut next) = (Vec::new(), Some("/orders?page_size=500".to_owned()));
    while let Some(path) = next {
        let (_, headers, page) = answer(world.gateway.get(&path)).await;
        one_by_one.extend(ids(&page));
        let link = headers.get("link").map(|link| link.to_str().expect("ASCII").to_owned());
        next = link.map(|link| link.trim_start_matches('<').split_once('>').expect("a link").0.to_owned());
    }
    assert_eq!(one_by_one, ids(&all));
}
