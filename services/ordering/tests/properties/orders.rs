//! Whatever is asked for is an order that can be stored, published and mailed, or is refused with the fields that are wrong.

use std::sync::Arc;

use comanda_kit::{
    access::Scope,
    currency,
    mail_address::MailAddress,
    testing::outside::{damaged, wrong_fields},
    text::has_visible,
};
use comanda_ordering::order::NewOrder;
use comanda_proto::{
    LatLng, Money,
    v1::{CreateOrderRequest, Customer, Item, Place, Trip, Workflow},
};
use proptest::{collection::vec, option, prelude::*};
use prost::Message;
use uuid::Uuid;

/// Mostly what people write, and now and then what they do not.
fn text(most: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        30 => "[a-zñ🌮]{1,12}",
        1 => any::<String>(),
        1 => Just(String::new()),
        1 => (most - 1..=most + 1).prop_map(|count| "ñ".repeat(count)),
        1 => "[a-z]{0,3}[\u{0}-\u{1f}\u{7f}-\u{9f}][a-z]{0,3}",
        1 => "[ \u{a0}\u{200b}\u{202e}\u{feff}\u{3164}]{1,3}",
    ]
}

fn email() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => Just("ana@example.com".to_owned()),
        1 => Just(String::new()),
        1 => "[a-zñ\"<>() ,;:\\[\\]\\\\@.]{0,12}@[a-z.\\-\\[\\]0-9:<>ñ]{0,12}",
        1 => "[a-z ]{0,5}<[a-z]{1,5}@[a-z]{1,5}\\.mx>[\r\n]{0,2}",
        1 => any::<String>(),
    ]
}

fn request_id() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string()),
        5 => Just(String::new()),
        1 => any::<String>(),
        1 => Just(Uuid::max().to_string()),
    ]
}

fn locale() -> impl Strategy<Value = String> {
    prop_oneof![20 => "[a-z]{2}(-[A-Z]{2})?", 1 => any::<String>()]
}

fn item() -> impl Strategy<Value = Item> {
    let currency_code = prop_oneof![30 => Just("CLP".to_owned()), 1 => any::<String>(), 1 => Just("USD".to_owned()), 1 => "XTS|HRK|ZZZ"];
    let units = prop_oneof![30 => 0..1_000_000_i64, 1 => any::<i64>()];
    let nanos = prop_oneof![30 => Just(0), 2 => (0..100).prop_map(|cents| cents * 10_000_000), 1 => any::<i32>()];
    let unit_price = option::weighted(0.98, (currency_code, units, nanos));
    let quantity = prop_oneof![30 => 1..=10_000, 1 => any::<i32>()];
    (text(64), text(256), quantity, unit_price).prop_map(|(sku, name, quantity, unit_price)| Item {
        sku,
        name,
        quantity,
        unit_price: unit_price.map(|(currency_code, units, nanos)| Money { currency_code, units, nanos }),
    })
}

fn customer() -> impl Strategy<Value = Customer> {
    (text(64), text(256), email(), locale()).prop_map(|(customer_id, name, email, locale)| Customer {
        customer_id,
        name,
        email,
        locale,
    })
}

/// Mostly on the map.
fn degrees() -> impl Strategy<Value = f64> {
    prop_oneof![40 => -90.0..=90.0, 1 => any::<f64>(), 1 => Just(f64::NAN)]
}

fn place() -> impl Strategy<Value = Place> {
    let position = (degrees(), degrees()).prop_map(|(latitude, longitude)| LatLng { latitude, longitude });
    (option::weighted(0.98, position), text(256)).prop_map(|(position, address)| Place { position, address })
}

fn trip() -> impl Strategy<Value = Trip> {
    let place = || option::weighted(0.98, place());
    let word = || prop_oneof![20 => "[a-z0-9_-]{0,32}", 1 => any::<String>()];
    let load = prop_oneof![30 => 0..=1_000, 1 => any::<i32>()];
    let time = prop_oneof![20 => 0..1_700_000_000_i64, 1 => any::<i64>()];
    let nanos = prop_oneof![20 => 0..1_000_000_000, 1 => any::<i32>()];
    let time = option::of((time, nanos).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }));
    (place(), place(), time, load, word(), word()).prop_map(
        |(pickup, dropoff, pickup_time, load, vehicle_kind, zone)| Trip {
            pickup,
            dropoff,
            pickup_time,
            load,
            vehicle_kind,
            zone,
        },
    )
}

fn request() -> impl Strategy<Value = CreateOrderRequest> {
    let items =
        prop_oneof![30 => vec(item(), 1..4), 1 => vec(item(), 0..1), 1 => item().prop_map(|item| vec![item; 101])];
    let labels = prop::collection::btree_map(text(63), text(256), 0..3);
    (request_id(), option::weighted(0.98, customer()), items, text(63), labels, option::of(trip())).prop_map(
        |(request_id, customer, items, workflow, labels, trip)| CreateOrderRequest {
            request_id,
            customer,
            items,
            workflow,
            labels,
            trip,
        },
    )
}

fn parse(request: CreateOrderRequest) -> Result<NewOrder, comanda_kit::errors::ApiError> {
    let delivery = Workflow { name: "delivery".into(), revision: 1, ..Workflow::default() };
    NewOrder::parse(Scope::built_in(), request, Some(Arc::new(delivery)))
}

/// A request's fields that an error may name.
const FIELDS: [&str; 7] = ["request_id", "customer.", "items", "workflow", "labels", "labels[", "trip."];

fn accepted_or_refused_by_field(request: CreateOrderRequest) -> bool {
    match parse(request.clone()) {
        Ok(order) => {
            must_be_storable(&order);
            must_be_what_was_asked(&order, &request);
            true
        }
        Err(error) => {
            let fields = wrong_fields(error);
            assert!(fields.iter().all(|field| FIELDS.iter().any(|known| field.starts_with(known))), "{fields:?}");
            false
        }
    }
}

/// Postgres's texts hold no NUL, and a mail's headers no line break.
fn must_be_storable(order: &NewOrder) {
    let Customer { customer_id, name, email, locale } = &order.customer;
    let mut texts = vec![customer_id, name, email, locale];
    texts.extend(order.content.items.iter().flat_map(|item| [&item.sku, &item.name]));
    texts.extend(order.content.labels.iter().flat_map(|(key, value)| [key, value]));
    assert!(texts.iter().all(|text| !text.contains(char::is_control) && text.chars().count() <= 256), "{texts:?}");
    if let Some(trip) = &order.content.trip {
        must_be_drivable(trip);
    }
    assert!((1..=100).contains(&order.content.items.len()));
    let names = order.content.items.iter().map(|item| &item.name).chain([customer_id]);
    assert!(names.chain(Some(name).filter(|name| !name.is_empty())).all(|name| has_visible(name)), "{order:?}");
    if !email.is_empty() {
        MailAddress::parse(email).unwrap_or_else(|error| panic!("no mail can go to {email:?}: {error}"));
    }
}

fn must_be_drivable(trip: &Trip) {
    for place in [&trip.pickup, &trip.dropoff].map(|place| place.as_ref().expect("each is there")) {
        let LatLng { latitude, longitude } = place.position.as_ref().expect("is there");
        assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0, "{trip:?}");
        assert!(!place.address.contains(char::is_control), "{trip:?}");
    }
    assert!([&trip.vehicle_kind, &trip.zone].iter().all(|word| word.len() <= 32 && word.is_ascii()), "{trip:?}");
}

fn must_be_what_was_asked(order: &NewOrder, request: &CreateOrderRequest) {
    assert_eq!(order.content.items, request.items);
    assert_eq!(order.content.labels, request.labels);
    assert_eq!(order.content.trip, request.trip);
    assert_eq!(Some(&order.customer), request.customer.as_ref());
    assert_eq!(order.request.as_ref().map(|(id, _)| *id), Uuid::try_parse(&request.request_id).ok());
    assert!(order.request.as_ref().is_none_or(|(id, _)| !id.is_nil() && !id.is_max()));
    let total = order.content.total.as_ref().expect("every order has a total");
    assert!(total.units >= 0 && (0..1_000_000_000).contains(&total.nanos), "{total:?}");
    let prices = order.content.items.iter().filter_map(|item| item.unit_price.as_ref()).chain([total]);
    assert!(prices.into_iter().all(currency::is_exact), "{order:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_request_is_an_order_or_is_refused_by_field(request in request()) {
        accepted_or_refused_by_field(request);
    }

    #[test]
    fn damaged_bytes_are_no_request_or_an_order_or_are_refused_by_field(
        request in request(), changes in vec(any::<(u16, u8)>(), 1..6)
    ) {
        if let Ok(request) = CreateOrderRequest::decode(&*damaged(&request.encode_to_vec(), &changes)) {
            accepted_or_refused_by_field(request);
        }
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(request) = CreateOrderRequest::decode(&*bytes) {
            accepted_or_refused_by_field(request);
        }
    }

    #[test]
    fn an_address_is_one_that_mails_can_go_to(email in email()) {
        let customer = Customer { customer_id: "c".into(), email, ..Customer::default() };
        let unit_price = Some(Money { currency_code: "CLP".into(), units: 1, nanos: 0 });
        let item = Item { name: "Mole".into(), quantity: 1, unit_price, ..Item::default() };
        accepted_or_refused_by_field(CreateOrderRequest { customer: Some(customer), items: vec![item], ..Default::default() });
    }
}

#[test]
fn many_of_the_requests_above_are_accepted_and_many_refused() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let accepted = (0..500).filter(|_| {
        let request = request().new_tree(&mut runner).expect("a request").current();
        accepted_or_refused_by_field(request)
    });
    let accepted = accepted.count();
    assert!((50..450).contains(&accepted), "{accepted} of 500");
}

#[test]
fn an_order_in_which_everything_is_wrong_is_refused_in_few_words() {
    let worst = Item { sku: "\n".into(), ..Item::default() };
    let key = "🌮".repeat(50_000);
    let labels = (0..200).map(|n| (format!("{key}{n}"), "\n".into())).collect();
    let request = CreateOrderRequest { items: vec![worst; 10_000], labels, ..Default::default() };
    assert!(wrong_fields(parse(request).expect_err("everything is wrong")).len() >= 10);
    let customer = Some(Customer { customer_id: "c".into(), ..Default::default() });
    let labels = [(key, "\n".to_owned())].into();
    wrong_fields(parse(CreateOrderRequest { customer, labels, ..Default::default() }).expect_err("a label is wrong"));
}
