//! Connections that ask for much and read nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use comanda_proto::{
    Money,
    v1::{
        BatchCreateOrdersRequest, CreateOrderRequest, Customer, Item, ListOrdersRequest, WatchOrdersRequest,
        order_service_client::OrderServiceClient, watch_orders_request::Start,
    },
};
use futures::future::{join_all, try_join_all};
use prost::Message;
use tokio::time::sleep;

use super::{
    methods::{ANALYTICS, DISPATCH, LIFECYCLE, ORDERS, WATCHES},
    stage::Seen,
    target::Target,
};
use crate::raw::{
    frames::{INITIAL_WINDOW, LARGEST_WINDOW, hello, whole_call, window_update},
    wire::Wire,
};

/// Connections, and calls of each.
const CONNECTIONS: usize = 4;
const CALLS: u32 = 100;
/// Connections that answer pings, what each may have under way by the contract of the server, and how long they hold it.
const LIVING: usize = 4;
const MOST_CALLS: u32 = 256;
const HELD: Duration = Duration::from_secs(12);
/// A peer that answers no ping is gone after this, by the contract of the server; and what may be added to it.
const KEEPALIVE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(5);
/// Of 100 items with long names each: a page of them is as large as pages get.
const LARGE_ORDERS: usize = 40;
const BUYER: &str = "buys a lot";

/// Something to ask for.
pub async fn prepare(target: &Target) -> Result<()> {
    if !target.services.contains(&ORDERS) {
        return Ok(());
    }
    let unit_price = Some(Money { currency_code: "CLP".into(), units: 1, nanos: 0 });
    let item = Item { name: "ñ".repeat(256), quantity: 1, unit_price, ..Item::default() };
    let customer = Some(Customer { customer_id: BUYER.into(), ..Customer::default() });
    let order = CreateOrderRequest { customer, items: vec![item; 100], ..CreateOrderRequest::default() };
    for _ in 0..LARGE_ORDERS / 4 {
        let request = BatchCreateOrdersRequest { requests: vec![order.clone(); 4] };
        OrderServiceClient::new(target.channel()).batch_create_orders(request).await.context("orders were refused")?;
    }
    Ok(())
}

/// As many calls as connections may have, each for the largest answer there is, on connections that live (they answer pings) and whose
/// windows stay closed: what a server holds for them must have a bound.
pub async fn answers(target: &Target) -> Result<Seen> {
    let mut wires = Vec::new();
    for _ in 0..LIVING {
        let mut wire = Wire::connect(target.address).await?;
        let calls = (0..MOST_CALLS).flat_map(|number| large_answer(target, 2 * number + 1));
        let bytes: Vec<u8> = hello(&[(INITIAL_WINDOW, 0)]).into_iter().chain(calls).collect();
        wire.send(&bytes, PATIENCE).await;
        wires.push(wire);
    }
    let ends = join_all(wires.into_iter().map(|wire| wire.answer_pings(HELD))).await;
    let closed = ends.iter().filter(|answers| answers.closed).count();
    let resets: usize = ends.iter().flat_map(|answers| answers.resets.values()).sum();
    Ok(Seen::from(format!("{closed} of {LIVING} connections closed, {resets} streams reset")))
}

/// Asks for the largest answers there are, with the largest windows, and reads none of them.
pub async fn readers(target: &Target) -> Result<Seen> {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::connect_narrow(target.address).await?;
        let mut bytes = hello(&[(INITIAL_WINDOW, LARGEST_WINDOW)]);
        bytes.extend(window_update(0, LARGEST_WINDOW - 65_535));
        (0..CALLS).for_each(|number| bytes.extend(large_answer(target, 2 * number + 1)));
        wire.send(&bytes, PATIENCE).await;
        wires.push(wire);
    }
    sleep(KEEPALIVE + GRACE).await;
    // Whatever was sent meanwhile is read now: behind it must be the end.
    let ends = try_join_all(
        wires.into_iter().map(|wire| async { anyhow::Ok(wire.read(Duration::from_secs(1)).await.closed) }),
    )
    .await?;
    let closed = ends.iter().filter(|closed| **closed).count();
    let seen = Seen::from(format!("{closed} of {CONNECTIONS} that do not read closed"));
    Ok(seen.require(
        closed == CONNECTIONS,
        format!("{} connections that do not read outlived the keepalive", CONNECTIONS - closed),
    ))
}

fn large_answer(target: &Target, stream: u32) -> Vec<u8> {
    if target.services.contains(&ORDERS) {
        let list = ListOrdersRequest { customer_id: BUYER.into(), page_size: 500, ..ListOrdersRequest::default() };
        whole_call(stream, "/comanda.v1.OrderService/ListOrders", &list.encode_to_vec())
    } else if target.services.contains(&WATCHES) {
        let request =
            WatchOrdersRequest { start: Some(Start::Snapshot(Default::default())), ..WatchOrdersRequest::default() };
        whole_call(stream, "/comanda.v1.WatchService/WatchOrders", &request.encode_to_vec())
    } else if target.services.contains(&DISPATCH) {
        whole_call(stream, "/comanda.v1.DispatchService/ListCouriers", &[])
    } else if target.services.contains(&ANALYTICS) {
        whole_call(stream, "/comanda.v1.AnalyticsService/CountOrders", &[])
    } else {
        debug_assert!(target.services.contains(&LIFECYCLE));
        whole_call(stream, "/comanda.v1.LifecycleService/ListWorkflows", &[])
    }
}
