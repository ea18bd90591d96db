//! The couriers of the orders that WatchOrder streams show: where the two topics of dispatch meet the streams that wait for them.
//!
//! In: records of `assignments`, each a hint that the courier of its order may have changed, and of `courier-locations`. Kept is one value for
//! each order and each courier that an open stream shows, the latest; a record of any other is dropped. So memory is bounded by the number
//! of streams, and nothing is ever full. What the courier of an order is, the store says.

use std::{sync::Arc, time::Duration};

use comanda_kit::{kafka::Record, workflows::Workflows};
use metrics::counter;
use uuid::Uuid;

use super::{
    latest::Latest,
    place::{self, CourierKey, Place},
    store::Store,
};

/// Hints of each order, counted.
pub type Hints = Latest<Uuid, u64>;
/// Where each courier is.
pub type Places = Latest<CourierKey, Option<Place>>;

/// What streams need to show couriers.
pub struct Couriers {
    /// Orders whose courier may have changed.
    pub hints: Arc<Hints>,
    /// Where couriers are.
    pub places: Arc<Places>,
    /// Says who has an order.
    pub store: Arc<Store>,
    /// Say in which statuses an order has a courier.
    pub workflows: Workflows,
    /// The least time between two updates of a stream.
    pub interval: Duration,
}

impl Couriers {
    /// Takes in a record of the topic of assignments.
    pub fn hint(&self, record: &Record) {
        if let Some(order_id) = record.order_id() {
            self.hints.change(&order_id, |count| {
                *count += 1;
                true
            });
        }
    }

    /// The topic of assignments is read from here on: what it had before may have been missed.
    pub fn hint_all(&self) {
        self.hints.change_all(|count| *count += 1);
    }

    /// Takes in a record of the topic of locations.
    pub fn locate(&self, record: &Record) {
        match place::decode(record) {
            Some((courier, place)) => self.places.change(&courier, |held| place::take(held, place)),
            None => counter!("comanda_watch_unreadable_locations_total").increment(1),
        }
    }
}
