//! Every call of the API: what its requests look like when they are nearly right.

mod couriers;
mod reports;

use std::sync::LazyLock;

use comanda_kit::{access::Scope, page};
use comanda_proto::{
    LatLng, Money,
    v1::{
        AdvanceOrderRequest, BatchCreateOrdersRequest, BatchGetOrdersRequest, CancelOrderRequest, CreateOrderRequest,
        Customer, EraseCustomerRequest, GetOrderRequest, GetWorkflowRequest, Item, ListMailsRequest, ListOrdersRequest,
        ListTransitionsRequest, ListWorkflowsRequest, MailFilter, Place, RejectOrderRequest, ResendDeadMailsRequest,
        ResendMailRequest, Trip, WatchFilter, WatchOrderRequest, WatchOrdersRequest, get_order_request::Key,
        watch_orders_request::Start,
    },
};
use prost::Message;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use uuid::Uuid;

pub const ORDERS: &str = "comanda.v1.OrderService";
pub const LIFECYCLE: &str = "comanda.v1.LifecycleService";
pub const WATCHES: &str = "comanda.v1.WatchService";
pub const MAILS: &str = "comanda.v1.MailService";
pub const DISPATCH: &str = "comanda.v1.DispatchService";
pub const ANALYTICS: &str = "comanda.v1.AnalyticsService";
/// All of them.
pub const SERVICES: [&str; 6] = [ORDERS, LIFECYCLE, WATCHES, MAILS, DISPATCH, ANALYTICS];

/// What a request may hold, by the contract of the services: of the service of orders, and of the others.
pub const ORDER_REQUEST_BYTES: usize = 256 * 1024;
const REQUEST_BYTES: usize = 64 * 1024;

/// One call.
#[derive(Clone, Copy)]
pub struct Method {
    pub service: &'static str,
    pub path: &'static str,
    /// Whether bytes are a request of it.
    pub is_request: fn(&[u8]) -> bool,
    /// A request that may be right.
    pub request: fn(&mut StdRng) -> Vec<u8>,
}

impl Method {
    /// What a request of it may hold.
    pub fn most_bytes(&self) -> usize {
        if self.service == ORDERS { ORDER_REQUEST_BYTES } else { REQUEST_BYTES }
    }
}

/// All calls.
pub static METHODS: LazyLock<Vec<Method>> =
    LazyLock::new(|| BEFORE.into_iter().chain(couriers::METHODS).chain(reports::METHODS).collect());

const BEFORE: [Method; 17] = [
    method::<CreateOrderRequest>(ORDERS, "/comanda.v1.OrderService/CreateOrder", |rng| order(rng).encode_to_vec()),
    method::<BatchCreateOrdersRequest>(ORDERS, "/comanda.v1.OrderService/BatchCreateOrders", batch),
    method::<GetOrderRequest>(ORDERS, "/comanda.v1.OrderService/GetOrder", get),
    method::<BatchGetOrdersRequest>(ORDERS, "/comanda.v1.OrderService/BatchGetOrders", batch_get),
    method::<EraseCustomerRequest>(ORDERS, "/comanda.v1.OrderService/EraseCustomer", erase),
    method::<ListOrdersRequest>(ORDERS, "/comanda.v1.OrderService/ListOrders", list),
    method::<AdvanceOrderRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/AdvanceOrder", |rng| {
        advance(rng).encode_to_vec()
    }),
    method::<CancelOrderRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/CancelOrder", cancel),
    method::<RejectOrderRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/RejectOrder", cancel),
    method::<ListTransitionsRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/ListTransitions", history),
    method::<ListWorkflowsRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/ListWorkflows", workflows),
    method::<GetWorkflowRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/GetWorkflow", workflow),
    method::<WatchOrderRequest>(WATCHES, "/comanda.v1.WatchService/WatchOrder", watch),
    method::<WatchOrdersRequest>(WATCHES, "/comanda.v1.WatchService/WatchOrders", watch_all),
    method::<ListMailsRequest>(MAILS, "/comanda.v1.MailService/ListMails", mails),
    method::<ResendMailRequest>(MAILS, "/comanda.v1.MailService/ResendMail", resend),
    method::<ResendDeadMailsRequest>(MAILS, "/comanda.v1.MailService/ResendDeadMails", resend_dead),
];

const fn method<M: Message + Default>(
    service: &'static str,
    path: &'static str,
    request: fn(&mut StdRng) -> Vec<u8>,
) -> Method {
    Method { service, path, is_request: |bytes| M::decode(bytes).is_ok(), request }
}

/// Mostly a word, and now and then what nobody would write.
fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..40) {
        0 => String::new(),
        1 => "ñ".repeat(rng.random_range(60..70)),
        2 => "x".repeat(rng.random_range(250..1000)),
        3 => "\r\nBcc: all@example.com\0".into(),
        4 => "'; DROP TABLE ordering.orders; --".into(),
        5 => "\u{202e}\u{feff}🌮=?utf-8?q?x?=".into(),
        _ => format!("word-{}", rng.random_range(0..1000)),
    }
}

fn id(rng: &mut StdRng) -> String {
    let id = Uuid::from_u128(rng.random());
    match rng.random_range(0..12) {
        0 => String::new(),
        1 => text(rng),
        2 => id.urn().to_string(),
        3 => id.braced().to_string(),
        _ => id.to_string(),
    }
}

fn number(rng: &mut StdRng) -> i64 {
    let extremes = [0, -1, 1, i64::MIN, i64::MAX, i64::from(i32::MAX) + 1, i64::from(i32::MIN)];
    if rng.random_bool(0.7) { rng.random_range(0..10) } else { *extremes.choose(rng).expect("some") }
}

fn number32(rng: &mut StdRng) -> i32 {
    i32::try_from(number(rng)).unwrap_or(i32::MIN)
}

fn some<T>(rng: &mut StdRng, most: usize, mut one: impl FnMut(&mut StdRng) -> T) -> Vec<T> {
    let count = if rng.random_bool(0.03) { rng.random_range(0..most * 2) } else { rng.random_range(1..3) };
    (0..count).map(|_| one(rng)).collect()
}

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

/// Mostly somewhere on earth.
fn position(rng: &mut StdRng) -> LatLng {
    let strange = [f64::NAN, f64::INFINITY, -91.0, 1e300];
    let mut degrees = |most: f64| match rng.random_range(0..20) {
        0 => *strange.choose(rng).expect("some"),
        _ => rng.random_range(-most..most),
    };
    LatLng { latitude: degrees(90.0), longitude: degrees(180.0) }
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

/// A token of a list with this filter: none, nonsense, or one with the right hash and any position.
fn token(filter: &impl Message, rng: &mut StdRng) -> String {
    match rng.random_range(0..4) {
        0 => String::new(),
        1 => text(rng),
        _ => {
            let count = *[0, 8, 12, 24, 25].choose(rng).expect("some");
            let shift = rng.random_range(0..8);
            let position: Vec<u8> = (0..count).map(|at| if at < shift { 0 } else { rng.random() }).collect();
            page::token(&Scope::built_in(), filter, &position)
        }
    }
}

fn time(rng: &mut StdRng) -> Option<prost_types::Timestamp> {
    let time = prost_types::Timestamp { seconds: number(rng), nanos: number32(rng) };
    rng.random_bool(0.3).then_some(time)
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

fn advance(rng: &mut StdRng) -> AdvanceOrderRequest {
    AdvanceOrderRequest {
        order_id: id(rng),
        request_id: id(rng),
        expected_version: number(rng),
        to_status: text(rng),
        reason: text(rng),
    }
}

/// RejectOrder's has the same fields.
fn cancel(rng: &mut StdRng) -> Vec<u8> {
    let AdvanceOrderRequest { order_id, request_id, expected_version, reason, .. } = advance(rng);
    CancelOrderRequest { order_id, request_id, expected_version, reason }.encode_to_vec()
}

fn history(rng: &mut StdRng) -> Vec<u8> {
    let order_id = id(rng);
    let page_token = token(&order_id, rng);
    ListTransitionsRequest { order_id, page_size: number32(rng), page_token }.encode_to_vec()
}

fn workflows(rng: &mut StdRng) -> Vec<u8> {
    ListWorkflowsRequest { page_size: number32(rng), page_token: token(&String::new(), rng) }.encode_to_vec()
}

fn workflow(rng: &mut StdRng) -> Vec<u8> {
    let name = if rng.random_bool(0.5) { "delivery".into() } else { text(rng) };
    GetWorkflowRequest { name, revision: number32(rng) }.encode_to_vec()
}

fn mails(rng: &mut StdRng) -> Vec<u8> {
    let order_id = if rng.random_bool(0.5) { String::new() } else { id(rng) };
    let filter = MailFilter {
        states: some(rng, 2, number32),
        statuses: some(rng, 20, text),
        undelivered_from_time: time(rng),
        undelivered_before_time: time(rng),
        reply_contains: text(rng),
    };
    let page_token = token(&filter, rng);
    let filter = rng.random_bool(0.5).then_some(filter);
    ListMailsRequest { order_id, page_size: number32(rng), page_token, filter }.encode_to_vec()
}

fn resend(rng: &mut StdRng) -> Vec<u8> {
    ResendMailRequest { order_id: id(rng), version: number(rng), request_id: id(rng) }.encode_to_vec()
}

fn resend_dead(rng: &mut StdRng) -> Vec<u8> {
    ResendDeadMailsRequest {
        // Of a status that no mail reports.
        statuses: vec![format!("nothing-{}", rng.random::<u32>())],
        died_from_time: time(rng),
        died_before_time: time(rng),
        reply_contains: text(rng),
        max_mails: number32(rng),
        include_too_old: rng.random(),
    }
    .encode_to_vec()
}

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

fn noise(rng: &mut StdRng) -> Vec<u8> {
    (0..rng.random_range(0..20)).map(|_| rng.random()).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_rpc_is_called() {
        let rpcs =
            comanda_proto::access::TABLE.iter().map(|rule| rule.path).filter(|path| path.starts_with("/comanda."));
        let missing: Vec<_> = rpcs.filter(|path| METHODS.iter().all(|method| method.path != *path)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn each_request_is_one_of_its_method() {
        let mut rng = StdRng::seed_from_u64(1);
        for method in METHODS.iter() {
            assert!((0..100).all(|_| (method.is_request)(&(method.request)(&mut rng))), "{}", method.path);
        }
    }
}
