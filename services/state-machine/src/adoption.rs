//! Adoption: an order that was placed gets its state, version 1, and its first timer.
//!
//! In: records of the topic `orders`, or the order ids of commands that arrive before them. Out: state, history and outbox. An order
//! that is adopted already stays as it is.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use comanda_kit::{
    batch::halved, consumer::Handler, errors::ApiError, kafka::Record, postgres::StoreError, workflows::Workflows,
};
use comanda_proto::{events::OrderPlaced, v1::Workflow, views::offset_date_time};
use prost::Message;
use tokio::sync::Notify;
use tracing::warn;
use uuid::Uuid;

use crate::{
    machine::dwell,
    store::{Key, Placed, Store},
};

/// Adopts orders.
#[derive(Clone, Debug)]
pub struct Adoption {
    store: Store,
    workflows: Workflows,
    /// Notified of new orders: the timers and the relay.
    nudges: [Arc<Notify>; 2],
}

impl Adoption {
    /// `nudges` are notified when orders were adopted.
    pub fn new(store: Store, workflows: Workflows, nudges: [Arc<Notify>; 2]) -> Self {
        Self { store, workflows, nudges }
    }

    /// Adopts what is not adopted yet.
    pub async fn adopt(&self, orders: Vec<Placed>) -> Result<(), StoreError> {
        let mut with_dwell = Vec::with_capacity(orders.len());
        for placed in orders {
            let workflow = self.workflows.get(&placed.workflow, placed.workflow_revision).await?;
            let dwell = dwell(&workflow, &placed.first_status);
            with_dwell.push((placed, dwell));
        }
        if self.store.adopt(with_dwell).await? > 0 {
            self.nudges.iter().for_each(|nudge| nudge.notify_one());
        }
        Ok(())
    }

    /// Adopts orders of callers as ordering shows them. Returns those that could not be adopted, and why; one does not fail the others.
    pub async fn adopt_asked(&self, keys: &[Key<'_>]) -> Result<HashMap<Uuid, ApiError>, StoreError> {
        let placed = self.store.placed_for(keys).await?;
        let mut failed = HashMap::new();
        for (part, adopted) in halved(&placed, |part| self.adopt(part.to_vec())).await {
            if let Err(error) = adopted.map_err(ApiError::from) {
                failed.extend(part.iter().map(|placed| (placed.order_id, error.clone())));
            }
        }
        Ok(failed)
    }

    /// The orders that a record places. Where it is undecodable or contradicts the workflow, its key names an order that ordering's view
    /// knows.
    async fn read(&self, record: &Record) -> Result<Vec<Placed>, StoreError> {
        if let Some(placed) = decode(record)
            && is_first(&*self.workflows.get(&placed.workflow, placed.workflow_revision).await?, &placed.first_status)
        {
            return Ok(vec![placed]);
        }
        warn!(partition = record.partition, offset = record.offset, "undecodable record: looking up its key");
        let unreadable = |what: &str| StoreError::Unreadable(format!("undecodable record, and {what}"));
        let key = record.order_id().ok_or_else(|| unreadable("its key is no order id"))?;
        let placed = self.store.placed(&[key]).await?;
        if placed.is_empty() { Err(unreadable("there is no such order")) } else { Ok(placed) }
    }
}

/// The order that was placed; it is the one that the key names.
fn decode(record: &Record) -> Option<Placed> {
    let event = OrderPlaced::decode(&*record.payload).ok()?;
    Some(Placed {
        order_id: Uuid::try_parse(&event.order_id).ok().filter(|order_id| record.order_id() == Some(*order_id))?,
        create_time: offset_date_time(event.create_time.as_ref()?)?,
        workflow: event.workflow,
        workflow_revision: event.workflow_revision,
        first_status: event.status,
        start_time: event.start_time.as_ref().and_then(offset_date_time),
    })
}

fn is_first(workflow: &Workflow, status: &str) -> bool {
    workflow.statuses.first().is_some_and(|first| first.name == status)
}

#[async_trait]
impl Handler for Adoption {
    async fn topic_epoch(&self) -> Result<i64, StoreError> {
        self.store.orders_epoch().await
    }

    async fn apply(&self, _topic_epoch: i64, records: &[Record]) -> Result<(), StoreError> {
        let mut orders = Vec::with_capacity(records.len());
        for record in records {
            orders.extend(self.read(record).await?);
        }
        self.adopt(orders).await
    }
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::damaged;
    use comanda_proto::views::timestamp;
    use proptest::{collection::vec, prelude::*};
    use time::OffsetDateTime;

    use super::*;

    fn record(order_id: Uuid) -> Record {
        let event = OrderPlaced {
            order_id: order_id.to_string(),
            number: 1042,
            customer_id: "c-1".into(),
            workflow: "delivery".into(),
            workflow_revision: 1,
            status: "received".into(),
            create_time: Some(timestamp(OffsetDateTime::UNIX_EPOCH)),
            tenant: "default".into(),
            ..OrderPlaced::default()
        };
        let (key, payload) = (order_id.to_string().into_bytes(), event.encode_to_vec());
        Record { topic: "orders".into(), key, payload, ..Record::default() }
    }

    proptest! {
        #[test]
        fn a_damaged_record_never_places_another_order(order_id in any::<u128>(), changes in vec(any::<(u16, u8)>(), 1..4)) {
            let order_id = Uuid::from_u128(order_id);
            let whole = record(order_id);
            prop_assert_eq!(decode(&whole).map(|placed| placed.order_id), Some(order_id));
            let payload = damaged(&whole.payload, &changes);
            let read = decode(&Record { payload, ..whole.clone() });
            prop_assert!(read.is_none_or(|placed| placed.order_id == order_id));
            let key = damaged(&whole.key, &changes);
            let read = decode(&Record { key, ..whole });
            prop_assert!(read.is_none_or(|placed| placed.order_id == order_id));
        }

        #[test]
        fn any_record_can_be_decoded_without_a_panic(key in vec(any::<u8>(), 0..40), payload in vec(any::<u8>(), 0..100)) {
            decode(&Record { topic: "orders".into(), key, payload, ..Record::default() });
        }
    }
}
