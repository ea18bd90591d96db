//! The orders that are sent: small ones, as a kitchen gets them.

use comanda_proto::{
    Money,
    v1::{CreateOrderRequest, Customer, Item},
};
use prost_types::Timestamp;
use uuid::Uuid;

/// How many customers order.
const CUSTOMERS: u64 = 1000;

/// The `n`-th order: two items, one of a thousand customers, and a request id where asked for.
pub fn order(n: u64, with_request_id: bool) -> CreateOrderRequest {
    let customer = n % CUSTOMERS;
    CreateOrderRequest {
        request_id: if with_request_id { Uuid::new_v4().to_string() } else { String::new() },
        customer: Some(Customer {
            customer_id: format!("customer-{customer}"),
            name: "Ana Pérez".into(),
            email: format!("ana.{customer}@example.com"),
            locale: "es".into(),
        }),
        items: vec![item("PIZZA-1", "Pizza Margherita", 2, 12), item("AGUA-1", "Agua mineral", 1, 2)],
        ..Default::default()
    }
}

fn item(sku: &str, name: &str, quantity: i32, units: i64) -> Item {
    let unit_price = Money { currency_code: "EUR".into(), units, nanos: 500_000_000 };
    Item { sku: sku.into(), name: name.into(), quantity, unit_price: Some(unit_price) }
}

/// Microseconds since 1970 of a time in a message.
pub fn microseconds(time: &Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1000
}
