//! The calls of ordering.

use comanda_proto::{
    Money,
    v1::{
        BatchCreateOrdersRequest, BatchGetOrdersRequest, CreateOrderRequest, Customer, EraseCustomerRequest,
        GetOrderRequest, Item, ListOrdersRequest, Place, Trip, get_order_request::Key,
    },
};
use prost::Message;
use rand::{RngExt, rngs::StdRng};

use super::{
    Method, ORDERS, method,
    values::{id, number, number32, position, some, text, time, token},
};

pub(super) const METHODS: [Method; 6] = [
    method::<CreateOrderRequest>(ORDERS, "/comanda.v1.OrderService/CreateOrder", |rng| order(rng).encode_to_vec()),
    method::<BatchCreateOrdersRequest>(ORDERS, "/comanda.v1.OrderService/BatchCreateOrders", batch),
    method::<GetOrderRequest>(ORDERS, "/comanda.v1.OrderService/GetOrder", get),
    method::<BatchGetOrdersRequest>(ORDERS, "/comanda.v1.OrderService/BatchGetOrders", batch_get),
    method::<EraseCustomerRequest>(ORDERS, "/comanda.v1.OrderService/EraseCustomer", erase),
    method::<ListOrdersRequest>(ORDERS, "/comanda.v1.OrderService/ListOrders", list),
];

fn order(rng: &mut StdRng) -> CreateOrderRequest {
    let customer = Customer {
        customer_id: text(rng),
        name: text(rng),
        email: if rng.random_bool(0.5) { String::new() } else { text(rng) },
        locale: if rng.random_bool(0.9) { "es".into() } else { text(rng) },
    };
    CreateOrderRequest {
        request_id: if rng.random_bool(0.5) { String::new() } else { id(rng) },
        customer: rng.random_bool(0.95).then_some(customer),
        items: some(rng, 100, item),
        workflow: if rng.random_bool(0.9) { String::new() } else { text(rng) },
        labels: some(rng, 16, |rng| (text(rng), text(rng))).into_iter().collect(),
        trip: rng.random_bool(0.2).then(|| trip(rng)),
    }
}

fn trip(rng: &mut StdRng) -> Trip {
    Trip {
        pickup: rng.random_bool(0.9).then(|| place(rng)),
        dropoff: rng.random_bool(0.9).then(|| place(rng)),
        pickup_time: time(rng),
        load: number32(rng),
        vehicle_kind: text(rng),
        zone: text(rng),
    }
}

fn place(rng: &mut StdRng) -> Place {
    Place { position: rng.random_bool(0.9).then(|| position(rng)), address: text(rng) }
}

fn item(rng: &mut StdRng) -> Item {
    let currency_code = if rng.random_bool(0.95) { "CLP".into() } else { text(rng) };
    let price = Money { currency_code, units: number(rng), nanos: number32(rng) };
    Item {
        sku: text(rng),
        name: text(rng),
        quantity: number32(rng),
        unit_price: rng.random_bool(0.95).then_some(price),
    }
}

fn batch(rng: &mut StdRng) -> Vec<u8> {
    BatchCreateOrdersRequest { requests: some(rng, 100, order) }.encode_to_vec()
}

fn get(rng: &mut StdRng) -> Vec<u8> {
    let key = if rng.random_bool(0.5) { Key::OrderId(id(rng)) } else { Key::Number(number(rng)) };
    GetOrderRequest { key: rng.random_bool(0.9).then_some(key), view: number32(rng) }.encode_to_vec()
}

fn batch_get(rng: &mut StdRng) -> Vec<u8> {
    BatchGetOrdersRequest { order_ids: some(rng, 100, id), view: number32(rng) }.encode_to_vec()
}

/// Of a customer that nobody has, or whose name is none.
fn erase(rng: &mut StdRng) -> Vec<u8> {
    let customer_id = if rng.random_bool(0.8) { format!("nobody-{}", rng.random::<u32>()) } else { String::new() };
    EraseCustomerRequest { page_token: token(&customer_id, rng), customer_id }.encode_to_vec()
}

fn list(rng: &mut StdRng) -> Vec<u8> {
    let wild = rng.random_bool(0.5);
    let filter = ListOrdersRequest {
        page_size: 0,
        page_token: String::new(),
        statuses: if wild { some(rng, 20, text) } else { Vec::new() },
        phases: if wild { some(rng, 20, number32) } else { Vec::new() },
        customer_id: if wild { text(rng) } else { String::new() },
        workflow: if wild { text(rng) } else { String::new() },
        created_from_time: time(rng),
        created_before_time: time(rng),
        view: number32(rng),
    };
    ListOrdersRequest { page_token: token(&filter, rng), page_size: number32(rng), ..filter }.encode_to_vec()
}
