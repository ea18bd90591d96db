//! The calls that watch orders.

use comanda_kit::{access::Scope, page};
use comanda_proto::v1::{WatchFilter, WatchOrderRequest, WatchOrdersRequest, watch_orders_request::Start};
use prost::Message;
use rand::{RngExt, rngs::StdRng};

use super::{
    Method, WATCHES, method,
    values::{id, noise, number, number32, some, text},
};

pub(super) const METHODS: [Method; 2] = [
    method::<WatchOrderRequest>(WATCHES, "/comanda.v1.WatchService/WatchOrder", watch),
    method::<WatchOrdersRequest>(WATCHES, "/comanda.v1.WatchService/WatchOrders", watch_all),
];

fn watch(rng: &mut StdRng) -> Vec<u8> {
    WatchOrderRequest { order_id: id(rng), after_version: number(rng), view: number32(rng) }.encode_to_vec()
}

fn watch_all(rng: &mut StdRng) -> Vec<u8> {
    let wild = rng.random_bool(0.5);
    let filter = WatchFilter {
        // Nobody's orders: a snapshot of everything is no bad call.
        customer_id: format!("nobody-{}", rng.random::<u32>()),
        workflow: if wild { text(rng) } else { String::new() },
        statuses: if wild { some(rng, 20, text) } else { Vec::new() },
        phases: if wild { some(rng, 20, number32) } else { Vec::new() },
    };
    let start = match rng.random_range(0..5) {
        0 => None,
        1 => Some(Start::Now(Default::default())),
        2 => Some(Start::Snapshot(Default::default())),
        _ => Some(Start::ResumeToken(resume_token(&filter, rng).into())),
    };
    WatchOrdersRequest { filter: Some(filter), start, view: number32(rng) }.encode_to_vec()
}

/// A token as the server encodes it.
#[derive(Clone, PartialEq, Message)]
struct ResumeToken {
    #[prost(bytes = "vec", tag = "1")]
    filter_hash: Vec<u8>,
    #[prost(int64, tag = "2")]
    epoch: i64,
    #[prost(int64, repeated, tag = "3")]
    next_offsets: Vec<i64>,
}

/// A token with any of its parts wrong, or cut short.
fn resume_token(filter: &WatchFilter, rng: &mut StdRng) -> Vec<u8> {
    let filter_hash = if rng.random_bool(0.9) { page::filter_hash(&Scope::built_in(), filter) } else { noise(rng) };
    let count = if rng.random_bool(0.1) { 10_000 } else { rng.random_range(0..14) };
    let next_offsets = (0..count).map(|_| number(rng)).collect();
    let mut bytes = ResumeToken { filter_hash, epoch: number(rng), next_offsets }.encode_to_vec();
    if rng.random_bool(0.1) {
        bytes.truncate(rng.random_range(0..=bytes.len()));
    }
    bytes
}
