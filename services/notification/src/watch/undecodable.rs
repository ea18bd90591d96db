//! Records that are no transition which this build can read. Each tells that its order may have moved; the store knows how.

use std::{sync::Arc, time::Duration};

use comanda_kit::{kafka::Record, postgres::StoreError};
use comanda_proto::events::OrderTransition;
use metrics::counter;
use tracing::warn;
use uuid::Uuid;

use super::{event::Event, hub::Hub, store::Store};

/// How often the store is asked before the record counts as lost.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Publishes what the store knows in the place of such a record.
pub struct Undecodable {
    /// Where transitions go.
    pub hub: Arc<Hub>,
    /// Where they are read.
    pub store: Arc<Store>,
}

impl Undecodable {
    /// Handles one record.
    pub async fn handle(&self, record: &Record) {
        counter!("comanda_watch_undecodable_records_total").increment(1);
        warn!(partition = record.partition, offset = record.offset, "a record of the topic is not readable");
        if let Some(order_id) = record.order_id() {
            // Needs no answer of the store here, and so also reaches streams when the store fails below.
            self.hub.reread(order_id, None);
            self.publish_history(record, order_id).await;
        }
        self.hub.pass(record.partition, record.offset + 1);
    }

    async fn publish_history(&self, record: &Record, order_id: Uuid) {
        match self.published_history(order_id).await {
            Ok(history) => events(record, history).for_each(|event| self.hub.publish(event)),
            Err(error) => {
                counter!("comanda_watch_lost_records_total").increment(1);
                warn!(%order_id, "the store does not tell what the record was: {error}; WatchOrders streams end");
                self.hub.lose(record.partition, record.offset + 1);
            }
        }
    }

    /// Empty for an order that the state machine has not adopted: no record of it can have been published. If its version 1 was told
    /// now, a stream whose snapshot is read between now and the adoption would miss it.
    async fn published_history(&self, order_id: Uuid) -> Result<Vec<OrderTransition>, StoreError> {
        match retried(|| self.store.is_adopted(order_id)).await? {
            true => self.whole_history(order_id).await,
            false => Ok(Vec::new()),
        }
    }

    async fn whole_history(&self, order_id: Uuid) -> Result<Vec<OrderTransition>, StoreError> {
        let mut whole = Vec::new();
        loop {
            let after_version = whole.last().map_or(0, |transition: &OrderTransition| transition.version);
            let page = retried(|| self.store.history_of_any_tenant(order_id, after_version)).await?;
            whole.extend(page.transitions);
            if page.complete {
                return Ok(whole);
            }
        }
    }
}

async fn retried<T, F: Future<Output = Result<T, StoreError>>>(ask: impl Fn() -> F) -> Result<T, StoreError> {
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if error.is_transient() => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
    ask().await
}

/// All events in the place of one record. A stream that resumes between them gets all of them again: after a token nothing is missing.
fn events(record: &Record, history: Vec<OrderTransition>) -> impl Iterator<Item = Event> {
    let of_transition = |transition| Event::of_transition(record.partition, record.offset, transition);
    history.into_iter().filter_map(of_transition).map(|event| Event { from_store: true, ..event })
}
