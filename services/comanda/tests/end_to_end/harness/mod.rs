//! What the tests share: processes of the program in a world of their own, ways to speak to them, and a look at what they left.
//!
//! Everything here is bounded, and nothing outlives a test, not even one that panics.

mod audit;
mod collector;
mod forwarder;
mod process;
mod smtp;
mod watch;
mod world;

use comanda_proto::v1::{CreateOrderRequest, Customer, Item};
use uuid::Uuid;

pub use self::{
    collector::{Collector, Place},
    forwarder::Forwarder,
    process::{Ended, Role, balanced, free_address, run},
    smtp::SmtpServer,
    watch::Watch,
    world::{World, at, server},
};

/// How long a status lasts where a test lets orders run.
pub const STEP_MS: &str = "100";
/// The statuses of the shipped workflow on its way to the end.
pub const PATH: [&str; 4] = ["received", "preparing", "dispatched", "delivered"];

/// What may be in no log and on no topic. Every order, connection and process of every test carries these.
pub const CANARIES: [&str; 4] = [NAME, MAILBOX, DATABASE_PASSWORD, SMTP_PASSWORD];
const NAME: &str = "Ximena-Canary";
const MAILBOX: &str = "mailbox.canary";
const DATABASE_PASSWORD: &str = "database-canary";
const SMTP_PASSWORD: &str = "smtp-canary";

/// An order that may be sent again and again.
pub fn order() -> CreateOrderRequest {
    let customer =
        Customer { customer_id: "ana".into(), name: NAME.into(), email: email("example.com"), locale: "es".into() };
    let unit_price = Some(comanda_proto::Money { currency_code: "CLP".into(), units: 1500, nanos: 0 });
    let item = Item { name: "Empanada".into(), quantity: 2, unit_price, ..Default::default() };
    CreateOrderRequest {
        request_id: Uuid::new_v4().to_string(),
        customer: Some(customer),
        items: vec![item],
        ..Default::default()
    }
}

/// An address of a customer.
pub fn email(domain: &str) -> String {
    format!("{MAILBOX}@{domain}")
}

/// So many orders.
pub fn orders(count: usize) -> Vec<CreateOrderRequest> {
    (0..count).map(|_| order()).collect()
}
