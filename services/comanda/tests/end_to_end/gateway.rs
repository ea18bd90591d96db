//! The gateway as a process before the others.

use std::net::SocketAddr;

use comanda_kit::testing::eventually;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Role, World};

const ORDERS: usize = 40;

/// A client of HTTP. reqwest demands a provider of ciphers even for plain HTTP; an error says that there is one already.
fn http() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().no_proxy().build().expect("a client")
}

fn body() -> Value {
    let price = json!({"currencyCode": "CLP", "units": "1500"});
    json!({"customer": {"customerId": "ana"}, "items": [{"name": "Empanada", "quantity": 2, "unitPrice": price}]})
}

/// Creates an order under a key, again and again until it is answered.
async fn create(http: &Client, gateway: SocketAddr, key: &str) -> String {
    eventually("the order is answered", async || {
        let request = http.post(format!("http://{gateway}/v1/orders")).header("idempotency-key", key).json(&body());
        let response = request.send().await.ok()?;
        if ![StatusCode::OK, StatusCode::CREATED].contains(&response.status()) {
            return None;
        }
        let order: Value = response.json().await.ok()?;
        Some(order["order"]["orderId"].as_str()?.to_owned())
    })
    .await
}

async fn start(world: &World, core: &mut Role) -> Role {
    let servers = core.address().await.to_string();
    world.start(&["gateway", "--addr", &servers])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_loses_nothing_and_doubles_nothing() {
    let world = World::new().await;
    let mut core = world.start(&["all", "--no-http", "--step-ms", "200"]);
    core.serves().await;
    let mut gateway = start(&world, &mut core).await;
    let (address, http) = (gateway.address().await, http());
    let creating = tokio::spawn({
        let http = http.clone();
        async move {
            let mut ids = Vec::new();
            for n in 0..ORDERS {
                ids.push(create(&http, address, &format!("order {n}")).await);
            }
            ids
        }
    });
    for at_least in [8, 20, 30] {
        world.reaches("SELECT count(*) FROM ordering.orders", at_least).await;
        gateway.kill();
        gateway.start_again();
    }
    let ids = creating.await.expect("does not panic");
    assert_eq!(world.count("SELECT count(*) FROM ordering.orders").await, ORDERS as i64);
    world.stores_exactly(&ids).await;
    world.reaches("SELECT count(*) FROM state_machine.states WHERE status = 'delivered'", ORDERS as i64).await;
    // The answer to the first key is the order as it is now.
    let again = create(&http, address, "order 0").await;
    assert_eq!(again, ids[0]);
    world.stop([core, gateway]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_roles_in_one_process_serve_http_too_and_a_health_check_asks_it() {
    let world = World::new().await;
    let mut all = world.start(&["all"]);
    all.serves().await;
    all.says("HTTP on ").await;
    let log = all.log();
    let address =
        log.split_once("HTTP on ").and_then(|(_, rest)| rest.split_once(',')).expect("an address").0.to_owned();
    let row = json!({"name": "Palo", "price": 1000});
    let sent = http().post(format!("http://{address}/new_order")).json(&row).send().await.expect("an answer");
    assert_eq!(sent.status(), StatusCode::OK);
    let told = world.succeeds(&["healthcheck", "--http", &address]).await;
    assert!(told.contains("serves"), "{told}");
    world.stop([all]).await;
    let ended = world.run(&["healthcheck", "--http", &address]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}
