//! Adoption: an order that was placed gets its state, version 1, and its first timer.
//!
//! In: records of the topic `orders`, or the order id of a command that came before them. Out: state, history and outbox. An order
//! that is known already is left alone.

use std::sync::Arc;

use async_trait::async_trait;
use comanda_kit::{consumer::Handler, kafka::Record, postgres::Problem};
use comanda_proto::{v1::OrderPlaced, views::offset_date_time};
use prost::Message;
use tokio::sync::Notify;
use tracing::warn;
use uuid::Uuid;

use crate::{
    machine::dwell,
    store::{Placed, Store},
    workflows::Workflows,
};

/// Adopts orders.
#[derive(Clone, Debug)]
pub struct Adoption {
    store: Store,
    workflows: Workflows,
    /// Told of new orders: the timers and the relay.
    nudges: [Arc<Notify>; 2],
}

impl Adoption {
    /// `nudges` are notified when orders were adopted.
    pub fn new(store: Store, workflows: Workflows, nudges: [Arc<Notify>; 2]) -> Self {
        Self { store, workflows, nudges }
    }

    /// Adopts what is not adopted yet.
    pub async fn adopt(&self, orders: Vec<Placed>) -> Result<(), Problem> {
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

    /// Adopts one order from ordering's own view. False if there is no such order.
    pub async fn adopt_by_id(&self, order_id: Uuid) -> Result<bool, Problem> {
        let placed = self.store.placed(&[order_id]).await?;
        let exists = !placed.is_empty();
        self.adopt(placed).await?;
        Ok(exists)
    }

    /// What a record says. One that can not be decoded is still a hint at its key: the owner's view knows the order.
    async fn read(&self, record: &Record) -> Result<Vec<Placed>, Problem> {
        if let Some(placed) = decode(&record.payload) {
            return Ok(vec![placed]);
        }
        warn!(partition = record.partition, offset = record.offset, "undecodable record: looking up its key");
        let unreadable = |what: &str| Problem::Unreadable(format!("undecodable record, and {what}"));
        let key = str::from_utf8(&record.key).ok().and_then(|key| Uuid::try_parse(key).ok());
        let placed = self.store.placed(&[key.ok_or_else(|| unreadable("its key is no order id"))?]).await?;
        if placed.is_empty() { Err(unreadable("there is no such order")) } else { Ok(placed) }
    }
}

fn decode(payload: &[u8]) -> Option<Placed> {
    let event = OrderPlaced::decode(payload).ok()?;
    Some(Placed {
        order_id: Uuid::try_parse(&event.order_id).ok()?,
        create_time: offset_date_time(event.create_time.as_ref()?)?,
        workflow: event.workflow,
        workflow_revision: event.workflow_revision,
        first_status: event.status,
    })
}

#[async_trait]
impl Handler for Adoption {
    async fn topic_epoch(&self) -> Result<i64, Problem> {
        self.store.orders_epoch().await
    }

    async fn apply(&self, _topic_epoch: i64, records: &[Record]) -> Result<(), Problem> {
        let mut orders = Vec::with_capacity(records.len());
        for record in records {
            orders.extend(self.read(record).await?);
        }
        self.adopt(orders).await
    }
}
