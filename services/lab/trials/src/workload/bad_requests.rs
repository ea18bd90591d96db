//! Requests that must be refused, each with one thing wrong. Pure.

use comanda_proto::v1::{
    AdvanceOrderRequest, BatchCreateOrdersRequest, CancelOrderRequest, CreateOrderRequest, GetOrderRequest, Item,
    ListOrdersRequest, ListTransitionsRequest, RejectOrderRequest, WatchOrderRequest, WatchOrdersRequest,
    get_order_request::Key, watch_orders_request::Start,
};
use prost::Message;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::content;
use crate::cluster::Role;

const CREATE: &str = "/comanda.v1.OrderService/CreateOrder";
const BATCH: &str = "/comanda.v1.OrderService/BatchCreateOrders";
const GET: &str = "/comanda.v1.OrderService/GetOrder";
const LIST: &str = "/comanda.v1.OrderService/ListOrders";
const ADVANCE: &str = "/comanda.v1.LifecycleService/AdvanceOrder";
const CANCEL: &str = "/comanda.v1.LifecycleService/CancelOrder";
const REJECT: &str = "/comanda.v1.LifecycleService/RejectOrder";
const HISTORY: &str = "/comanda.v1.LifecycleService/ListTransitions";
const WATCH: &str = "/comanda.v1.WatchService/WatchOrder";
const WATCH_ALL: &str = "/comanda.v1.WatchService/WatchOrders";

/// The largest request that OrderService takes.
const LARGEST_BYTES: usize = 256 * 1024;

/// A call that must be refused.
#[derive(Clone, Debug)]
pub(super) struct Bad {
    pub(super) role: Role,
    pub(super) method: &'static str,
    pub(super) bytes: Vec<u8>,
    /// What is wrong with it.
    pub(super) what: String,
    /// The field that the refusal must name.
    pub(super) field: Option<&'static str>,
    pub(super) is_protobuf: bool,
}

/// Every kind of bad request. `order_id` is of an order that exists; what would move it must not.
pub(super) fn refused(order_id: Option<&str>, rng: &mut StdRng) -> Vec<Bad> {
    let order = content::order(0.0, rng);
    let mut all: Vec<Bad> = CHANGES.iter().map(|(field, change)| bad_order(&order, field, *change)).collect();
    all.extend(orders(&order, rng));
    all.extend(moves(order_id, rng));
    all.extend(watches(order_id, rng));
    all
}

type Change = fn(&mut CreateOrderRequest);

/// A field, and what makes it wrong.
const CHANGES: [(&str, Change); 24] = [
    ("request_id", |order| order.request_id = "nonsense".into()),
    ("request_id", |order| order.request_id = "00000000-0000-0000-0000-000000000000".into()),
    ("customer.customer_id", |order| order.customer = None),
    ("customer.customer_id", |order| customer(order).customer_id = long(65)),
    ("customer.name", |order| customer(order).name = long(257)),
    ("customer.name", |order| customer(order).name = "Ana\r\nBcc: all@trial.example".into()),
    ("customer.email", |order| customer(order).email = "no address".into()),
    ("customer.email", |order| customer(order).email = format!("{}@trial.example", "a".repeat(250))),
    ("customer.email", |order| customer(order).email = "a@trial.example>\r\nRCPT TO:<b@trial.example".into()),
    ("customer.locale", |order| customer(order).locale = "es_CL".into()),
    ("items", |order| order.items.clear()),
    ("items", |order| order.items = vec![order.items[0].clone(); 101]),
    ("items", |order| order.items.extend([priced("GBP", 1)])),
    ("items[0].sku", |order| order.items[0].sku = long(65)),
    ("items[0].name", |order| order.items[0].name.clear()),
    ("items[0].quantity", |order| order.items[0].quantity = 0),
    ("items[0].quantity", |order| order.items[0].quantity = 10_001),
    ("items[0].unit_price", |order| order.items[0].unit_price = None),
    ("items[0].unit_price", |order| order.items = vec![priced("ZZZ", 1)]),
    ("items[0].unit_price", |order| order.items = vec![half(priced("JPY", 1))]),
    ("items[0].name", |order| order.items[0].name = "\u{200b}\u{2060}".into()),
    ("items", |order| order.items = vec![priced("EUR", i64::MAX); 2]),
    ("workflow", |order| order.workflow = "no-such-workflow".into()),
    ("labels", |order| order.labels = (0..17).map(|n| (n.to_string(), String::new())).collect()),
];

fn customer(order: &mut CreateOrderRequest) -> &mut comanda_proto::v1::Customer {
    order.customer.as_mut().expect("every order has a customer")
}

fn priced(currency: &str, units: i64) -> Item {
    let unit_price = comanda_proto::Money { currency_code: currency.into(), units, nanos: 0 };
    Item { name: "one".into(), quantity: 1, unit_price: Some(unit_price), ..Item::default() }
}

/// A price with half a unit more.
fn half(mut item: Item) -> Item {
    item.unit_price.as_mut().expect("it has a price").nanos = 500_000_000;
    item
}

fn bad_order(order: &CreateOrderRequest, field: &'static str, change: Change) -> Bad {
    let mut order = order.clone();
    change(&mut order);
    bad(Role::Ordering, CREATE, &order, Some(field))
}

fn orders(order: &CreateOrderRequest, rng: &mut StdRng) -> Vec<Bad> {
    let batch = |count| BatchCreateOrdersRequest { requests: vec![order.clone(); count] };
    let mut too_large = order.clone();
    too_large.items = vec![Item { name: long(LARGEST_BYTES), ..order.items[0].clone() }];
    let nobody = Some(Key::OrderId(content::uuid(rng)));
    let list = ListOrdersRequest::default();
    vec![
        bad(Role::Ordering, BATCH, &batch(0), Some("requests")),
        bad(Role::Ordering, BATCH, &batch(101), Some("requests")),
        Bad { what: "too large".into(), ..bad(Role::Ordering, CREATE, &too_large, None) },
        bad(Role::Ordering, GET, &GetOrderRequest::default(), Some("key")),
        bad(
            Role::Ordering,
            GET,
            &GetOrderRequest { key: Some(Key::OrderId("'; --".into())), ..Default::default() },
            Some("order_id"),
        ),
        Bad {
            what: "of no order".into(),
            ..bad(Role::Ordering, GET, &GetOrderRequest { key: nobody, ..Default::default() }, None)
        },
        bad(Role::Ordering, LIST, &ListOrdersRequest { page_size: -1, ..list.clone() }, Some("page_size")),
        bad(Role::Ordering, LIST, &ListOrdersRequest { page_token: "x".into(), ..list }, Some("page_token")),
    ]
}

fn moves(order_id: Option<&str>, rng: &mut StdRng) -> Vec<Bad> {
    let (nobody, request_id) = (content::uuid(rng), content::uuid(rng));
    let order_id = order_id.unwrap_or(&nobody).to_owned();
    let advance =
        AdvanceOrderRequest { order_id: order_id.clone(), request_id: request_id.clone(), ..Default::default() };
    let cancel = CancelOrderRequest { order_id: order_id.clone(), ..Default::default() };
    let reject = RejectOrderRequest { order_id: order_id.clone(), ..Default::default() };
    let history = ListTransitionsRequest { order_id, ..Default::default() };
    let role = Role::StateMachine;
    vec![
        bad(role, ADVANCE, &AdvanceOrderRequest { request_id: String::new(), ..advance.clone() }, Some("request_id")),
        bad(role, ADVANCE, &AdvanceOrderRequest { order_id: "7".into(), ..advance.clone() }, Some("order_id")),
        bad(role, ADVANCE, &AdvanceOrderRequest { to_status: long(64), ..advance.clone() }, Some("to_status")),
        bad(role, ADVANCE, &AdvanceOrderRequest { reason: long(501), ..advance.clone() }, Some("reason")),
        Bad {
            what: "of no order".into(),
            ..bad(role, ADVANCE, &AdvanceOrderRequest { order_id: nobody.clone(), ..advance }, None)
        },
        bad(role, CANCEL, &CancelOrderRequest { expected_version: -1, ..cancel.clone() }, Some("expected_version")),
        bad(role, CANCEL, &CancelOrderRequest { request_id: "x".into(), ..cancel }, Some("request_id")),
        bad(role, REJECT, &RejectOrderRequest { reason: long(501), ..reject }, Some("reason")),
        bad(role, HISTORY, &ListTransitionsRequest { page_size: -1, ..history.clone() }, Some("page_size")),
        bad(role, HISTORY, &ListTransitionsRequest { page_token: "!".into(), ..history.clone() }, Some("page_token")),
        Bad {
            what: "of no order".into(),
            ..bad(role, HISTORY, &ListTransitionsRequest { order_id: nobody, ..history }, None)
        },
    ]
}

fn watches(order_id: Option<&str>, rng: &mut StdRng) -> Vec<Bad> {
    let nobody = content::uuid(rng);
    let order_id = order_id.unwrap_or(&nobody).to_owned();
    let watch = |order_id: &str, after_version| WatchOrderRequest { order_id: order_id.into(), after_version, view: 0 };
    let all = |start| WatchOrdersRequest { start, filter: None, view: 0 };
    // No token begins like this.
    let junk: Vec<u8> = [0xee].into_iter().chain((0..rng.random_range(0..100)).map(|_| rng.random())).collect();
    let role = Role::Notification;
    vec![
        bad(role, WATCH, &watch("nothing", 0), Some("order_id")),
        bad(role, WATCH, &watch(&order_id, -1), Some("after_version")),
        Bad { what: "of no order".into(), ..bad(role, WATCH, &watch(&nobody, 0), None) },
        Bad { what: "ahead of the order".into(), ..bad(role, WATCH, &watch(&order_id, 1000), None) },
        bad(role, WATCH_ALL, &all(None), Some("start")),
        bad(role, WATCH_ALL, &all(Some(Start::ResumeToken(junk.into()))), Some("resume_token")),
    ]
}

fn bad(role: Role, method: &'static str, request: &impl Message, field: Option<&'static str>) -> Bad {
    let what = field.unwrap_or_default().to_owned();
    Bad { role, method, bytes: request.encode_to_vec(), what, field, is_protobuf: true }
}

/// Bytes that are no request of any kind.
pub(super) fn no_protobuf(rng: &mut StdRng) -> Bad {
    let methods = [
        (Role::Ordering, CREATE),
        (Role::Ordering, BATCH),
        (Role::Ordering, GET),
        (Role::StateMachine, ADVANCE),
        (Role::StateMachine, CANCEL),
        (Role::Notification, WATCH),
        (Role::Notification, WATCH_ALL),
    ];
    let (role, method) = *methods.choose(rng).expect("some");
    // A field whose length goes beyond the end, a wire type that there is not, a number without an end, a text that is none.
    let mut bytes = vec![vec![0x0a, 0x7f, 0x01], vec![0x0f], vec![0xff; 11], vec![0x0a, 0x02, 0xff, 0xfe]];
    let bytes = bytes.swap_remove(rng.random_range(0..bytes.len()));
    Bad { role, method, bytes, what: "no protobuf".into(), field: None, is_protobuf: false }
}

fn long(characters: usize) -> String {
    "ñ".repeat(characters)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn nonsense_is_no_request_of_its_method() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..500 {
            let bad = no_protobuf(&mut rng);
            let bytes = &*bad.bytes;
            let is_request = match bad.method {
                CREATE => CreateOrderRequest::decode(bytes).is_ok(),
                BATCH => BatchCreateOrdersRequest::decode(bytes).is_ok(),
                GET => GetOrderRequest::decode(bytes).is_ok(),
                ADVANCE => AdvanceOrderRequest::decode(bytes).is_ok(),
                CANCEL => CancelOrderRequest::decode(bytes).is_ok(),
                WATCH => WatchOrderRequest::decode(bytes).is_ok(),
                _ => WatchOrdersRequest::decode(bytes).is_ok(),
            };
            assert!(!is_request, "{} {bytes:?}", bad.method);
        }
    }

    #[test]
    fn each_bad_request_says_what_is_wrong_with_it() {
        for bad in refused(None, &mut StdRng::seed_from_u64(1)) {
            assert!(!bad.what.is_empty(), "{}", bad.method);
        }
    }
}
