//! Orders that are sent: random, valid, and no two of the same customer.

use std::time::{Duration, SystemTime};

use comanda_checker::history::NewOrder;
use comanda_proto::{
    LatLng, Money,
    v1::{CreateOrderRequest, Customer, Item, Place, Trip},
};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use uuid::Uuid;

use super::digest;

/// The workflow that a request without one means.
const DEFAULT_WORKFLOW: &str = "delivery";
/// The workflows that come with the system; empty means the first.
const WORKFLOWS: [&str; 3] = ["", "delivery", "delivery-finalizado"];
/// The workflow that needs couriers.
pub const RIDE: &str = "ride";
const LOCALES: [&str; 4] = ["es", "en", "es-MX", ""];
/// Currencies with how many decimals they have (ISO 4217).
const CURRENCIES: [(&str, u32); 5] = [("EUR", 2), ("USD", 2), ("CLP", 0), ("JPY", 0), ("KWD", 3)];
const WORDS: [&str; 8] = ["Pizza", "Mole", "ñandú", "Agua", "茶", "🌮", "café con leche", "Bcc: x@y"];
/// Of all orders, so many have a request id.
const WITH_REQUEST_ID: f64 = 0.8;

/// A new order; of all, `rides` (0 to 1) are some.
pub fn order(rides: f64, rng: &mut StdRng) -> CreateOrderRequest {
    let order = plain(rng);
    if rides > 0.0 && rng.random_bool(rides) {
        return CreateOrderRequest { workflow: RIDE.into(), trip: Some(trip(rng)), ..order };
    }
    order
}

fn plain(rng: &mut StdRng) -> CreateOrderRequest {
    let currency = *pick(&CURRENCIES, rng);
    CreateOrderRequest {
        request_id: if rng.random_bool(WITH_REQUEST_ID) { uuid(rng) } else { String::new() },
        customer: Some(customer(rng)),
        items: (0..rng.random_range(1..=4)).map(|_| item(currency, rng)).collect(),
        workflow: pick(&WORKFLOWS, rng).to_string(),
        labels: (0..rng.random_range(0..=3)).map(|n| (format!("label-{n}"), words(0, rng))).collect(),
        trip: None,
    }
}

/// The middle of a small town, and the largest distance of a place from it, in degrees.
const TOWN: (f64, f64) = (43.3623, -8.4115);
const REACH: f64 = 0.01;
/// So much later than it is asked for: until then, and a step longer, a ride that nobody takes may wait.
const START_MS: (u64, u64) = (8_000, 16_000);

fn trip(rng: &mut StdRng) -> Trip {
    let start = SystemTime::now() + Duration::from_millis(rng.random_range(START_MS.0..START_MS.1));
    Trip {
        pickup: Some(Place { position: Some(position(rng)), address: words(0, rng) }),
        dropoff: Some(Place { position: Some(position(rng)), address: words(0, rng) }),
        pickup_time: Some(start.into()),
        load: rng.random_range(0..=4),
        ..Trip::default()
    }
}

/// Somewhere in town.
pub fn position(rng: &mut StdRng) -> LatLng {
    let mut near = |middle: f64| middle + rng.random_range(-REACH..REACH);
    LatLng { latitude: near(TOWN.0), longitude: near(TOWN.1) }
}

/// A random UUID.
pub fn uuid(rng: &mut StdRng) -> String {
    Uuid::from_u128(rng.random()).to_string()
}

/// The same order with one thing changed; request id and customer stay.
pub fn changed(request: &CreateOrderRequest, rng: &mut StdRng) -> CreateOrderRequest {
    let mut changed = request.clone();
    let item = changed.items.first_mut().expect("every order has items");
    match rng.random_range(0..3) {
        0 => item.quantity = if item.quantity == 1 { 2 } else { item.quantity - 1 },
        1 => item.name.push('+'),
        _ => drop(changed.labels.insert("changed".into(), "yes".into())),
    }
    changed
}

/// An order in the words of a history.
pub fn asked(request: &CreateOrderRequest) -> NewOrder {
    let customer = request.customer.clone().unwrap_or_default();
    let workflow = if request.workflow.is_empty() { DEFAULT_WORKFLOW } else { &request.workflow };
    NewOrder {
        request_id: (!request.request_id.is_empty()).then(|| request.request_id.clone()),
        customer_id: customer.customer_id,
        email: customer.email,
        workflow: workflow.to_owned(),
        digest: digest::of_request(request),
    }
}

fn customer(rng: &mut StdRng) -> Customer {
    let key = format!("{:016x}", rng.random::<u64>());
    Customer {
        email: format!("{key}@trial.example"),
        customer_id: format!("c-{key}"),
        name: words(0, rng),
        locale: pick(&LOCALES, rng).to_string(),
    }
}

fn item((currency, decimals): (&str, u32), rng: &mut StdRng) -> Item {
    let units = if rng.random_bool(0.05) { rng.random_range(0..10_i64.pow(12)) } else { rng.random_range(0..100) };
    let nanos = rng.random_range(0..10_i32.pow(decimals)) * 10_i32.pow(9 - decimals);
    Item {
        sku: if rng.random_bool(0.5) { format!("SKU-{}", rng.random_range(0..1000)) } else { String::new() },
        name: words(1, rng),
        quantity: if rng.random_bool(0.1) { rng.random_range(1..=10_000) } else { rng.random_range(1..=5) },
        unit_price: Some(Money { currency_code: currency.into(), units, nanos }),
    }
}

fn words(least: usize, rng: &mut StdRng) -> String {
    let words: Vec<_> = (0..rng.random_range(least..=3)).map(|_| *pick(&WORDS, rng)).collect();
    words.join(" ")
}

fn pick<'a, T>(choices: &'a [T], rng: &mut StdRng) -> &'a T {
    choices.choose(rng).expect("there are choices")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_orders_and_no_two_have_the_same_customer() {
        let orders = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..100).map(|_| order(0.0, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(orders(1), orders(1));
        let customers: std::collections::BTreeSet<_> = orders(1).iter().map(|order| asked(order).customer_id).collect();
        assert_eq!(customers.len(), 100);
    }

    #[test]
    fn a_changed_order_is_another_one_of_the_same_customer() {
        let mut rng = StdRng::seed_from_u64(2);
        for _ in 0..100 {
            let request = order(0.5, &mut rng);
            let (before, after) = (asked(&request), asked(&changed(&request, &mut rng)));
            assert_ne!(before.digest, after.digest);
            assert_eq!((before.customer_id, before.request_id), (after.customer_id, after.request_id));
        }
    }
}
