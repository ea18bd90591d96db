//! Records that are no transition which this build can read. Each is a hint that its order has moved: the store knows how.

use std::{sync::Arc, time::Duration};

use comanda_kit::{kafka::Record, postgres::StoreError};
use comanda_proto::v1::OrderTransition;
use metrics::counter;
use tracing::warn;
use uuid::Uuid;

use super::{
    event::{Event, Place},
    hub::Hub,
    store::Store,
};

/// How often the store is asked before the record is given up.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Makes the best of such records.
pub struct Undecodable {
    /// Where transitions go.
    pub hub: Arc<Hub>,
    /// What is true.
    pub store: Arc<Store>,
}

impl Undecodable {
    /// Publishes, in the place of the record, what the store knows of its order.
    pub async fn handle(&self, record: &Record) {
        let place = Place::of_record(record.partition, record.offset);
        counter!("comanda_watch_undecodable_records_total").increment(1);
        warn!(partition = place.partition, offset = place.offset, "a record of the topic is not readable");
        if let Some(order_id) = record.order_id() {
            // Needs no answer of the store, and wakes even those that a failure below would leave out.
            self.hub.hint(order_id);
            self.publish_history(place, order_id).await;
        }
        self.hub.pass(place);
    }

    async fn publish_history(&self, place: Place, order_id: Uuid) {
        match self.published_history(order_id).await {
            Ok(history) => events(place, history).into_iter().for_each(|event| self.hub.publish(event)),
            Err(error) => {
                counter!("comanda_watch_lost_records_total").increment(1);
                warn!(%order_id, "nor does the store tell what it was: {error}; watches of many orders begin anew");
                self.hub.forget(place);
            }
        }
    }

    /// Nothing of an order that nobody has adopted: no record of it can have been lost here. Told too early, its beginning would be missed
    /// by a watch whose snapshot lies between here and the adoption.
    async fn published_history(&self, order_id: Uuid) -> Result<Vec<OrderTransition>, StoreError> {
        match patiently(|| self.store.is_adopted(order_id)).await? {
            true => self.whole_history(order_id).await,
            false => Ok(Vec::new()),
        }
    }

    async fn whole_history(&self, order_id: Uuid) -> Result<Vec<OrderTransition>, StoreError> {
        let mut whole = Vec::new();
        loop {
            let after_version = whole.last().map_or(0, |transition: &OrderTransition| transition.version);
            let page = patiently(|| self.store.history(order_id, after_version)).await?;
            whole.extend(page.transitions);
            if page.complete {
                return Ok(whole);
            }
        }
    }
}

async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(ask: impl Fn() -> F) -> Result<T, StoreError> {
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if error.is_transient() => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
    ask().await
}

/// All events in the place of one record. Whoever resumes between them gets all of them again: behind a token nothing is missing.
fn events(place: Place, history: Vec<OrderTransition>) -> Vec<Event> {
    let within = Place { next: place.offset, ..place };
    history.into_iter().filter_map(|transition| Event::of_transition(within, transition)).collect()
}
