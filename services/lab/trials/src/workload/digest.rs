//! What an order holds, as a short text: alike for the request that asked for it, for the order that was answered and for the row
//! that was stored. Pure.

use std::collections::BTreeMap;

use comanda_proto::{
    Money,
    v1::{CreateOrderRequest, Customer, Item, Order, Trip},
};
use sha2::{Digest, Sha256};

const NANOS_PER_UNIT: i128 = 1_000_000_000;
/// Of the hash; enough to tell the orders of a run apart.
const BYTES: usize = 12;

/// The digest of what a request asks for. The total is summed here, so that a wrong one in an answer shows.
pub fn of_request(request: &CreateOrderRequest) -> String {
    let customer = request.customer.clone().unwrap_or_default();
    digest(&customer, &request.items, &request.labels, &total(&request.items), request.trip.as_ref())
}

/// The digest of an order as an answer shows it.
pub fn of_order(order: &Order) -> String {
    let customer = order.customer.clone().unwrap_or_default();
    of_content(&customer, order)
}

/// The digest of an order whose customer is kept apart from its content.
pub fn of_content(customer: &Customer, content: &Order) -> String {
    let total = content.total.clone().unwrap_or_default();
    digest(customer, &content.items, &content.labels, &total, content.trip.as_ref())
}

fn total(items: &[Item]) -> Money {
    let prices = items.iter().map(|item| (i128::from(item.quantity), item.unit_price.clone().unwrap_or_default()));
    let nanos: i128 = prices
        .map(|(quantity, price)| quantity * (i128::from(price.units) * NANOS_PER_UNIT + i128::from(price.nanos)))
        .sum();
    let currency_code = items.first().and_then(|item| item.unit_price.clone()).unwrap_or_default().currency_code;
    // What does not fit is no total that anybody could answer.
    let units = i64::try_from(nanos / NANOS_PER_UNIT).unwrap_or(i64::MAX);
    Money { currency_code, units, nanos: (nanos % NANOS_PER_UNIT) as i32 }
}

fn digest(
    customer: &Customer,
    items: &[Item],
    labels: &BTreeMap<String, String>,
    total: &Money,
    trip: Option<&Trip>,
) -> String {
    let mut hash = Sha256::new();
    // Each text ends with a byte that no text has, so that none can pass for two.
    let mut add = |text: &str| hash.update([text.as_bytes(), &[0xff]].concat());
    [&customer.name, &customer.email, &customer.locale].into_iter().for_each(|text| add(text));
    for item in items {
        [&item.sku, &item.name, &item.quantity.to_string()].into_iter().for_each(|text| add(text));
        add(&money(&item.unit_price.clone().unwrap_or_default()));
    }
    add(&money(total));
    labels.iter().for_each(|(key, value)| [key, value].into_iter().for_each(|text| add(text)));
    // When it starts is not here: a time in the past counts as none.
    if let Some(Trip { pickup, dropoff, load, vehicle_kind, zone, .. }) = trip {
        [pickup, dropoff].into_iter().for_each(|place| add(&format!("{place:?}")));
        [&load.to_string(), vehicle_kind, zone].into_iter().for_each(|text| add(text));
    }
    hash.finalize().iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// An amount as text.
pub fn money(money: &Money) -> String {
    format!("{} {}.{:09}", money.currency_code, money.units, money.nanos)
}

#[cfg(test)]
mod tests {
    use comanda_proto::{LatLng, v1::Place};

    use super::*;

    fn trip() -> Option<Trip> {
        let place = |address: &str| {
            Some(Place { position: Some(LatLng { latitude: 43.4, longitude: -8.4 }), address: address.into() })
        };
        Some(Trip { pickup: place("A"), dropoff: place("B"), load: 1, ..Trip::default() })
    }

    fn request() -> CreateOrderRequest {
        let price = |units, nanos| Some(Money { currency_code: "EUR".into(), units, nanos });
        let item =
            |name: &str, quantity, unit_price| Item { name: name.into(), quantity, unit_price, ..Item::default() };
        CreateOrderRequest {
            customer: Some(Customer { name: "Ana".into(), email: "a@b".into(), ..Customer::default() }),
            items: vec![item("Mole", 3, price(2, 500_000_000)), item("Agua", 1, price(1, 0))],
            labels: [("table".to_owned(), "4".to_owned())].into(),
            trip: trip(),
            ..CreateOrderRequest::default()
        }
    }

    fn answered() -> Order {
        let CreateOrderRequest { customer, items, labels, trip, .. } = request();
        let total = Some(Money { currency_code: "EUR".into(), units: 8, nanos: 500_000_000 });
        Order { customer, items, labels, trip, total, ..Order::default() }
    }

    #[test]
    fn a_request_and_the_order_made_of_it_have_the_same_digest() {
        assert_eq!(of_request(&request()), of_order(&answered()));
        let Order { customer, .. } = answered();
        let stored = Order { customer: None, ..answered() };
        assert_eq!(of_content(&customer.expect("given"), &stored), of_order(&answered()));
    }

    #[test]
    fn each_part_counts() {
        let changes: [fn(&mut Order); 8] = [
            |order| order.trip.as_mut().expect("given").load = 2,
            |order| order.trip.as_mut().expect("given").dropoff = None,
            |order| order.items[0].quantity = 4,
            |order| order.items.swap(0, 1),
            |order| order.items[1].name = "Agua ".into(),
            |order| order.total.as_mut().expect("given").nanos = 0,
            |order| drop(order.labels.insert("table".into(), "5".into())),
            |order| order.customer.as_mut().expect("given").locale = "en".into(),
        ];
        for change in changes {
            let mut order = answered();
            change(&mut order);
            assert_ne!(of_order(&order), of_order(&answered()), "{order:?}");
        }
    }
}
