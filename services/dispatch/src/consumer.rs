//! What happens to orders, followed: jobs are made, confirmed and released as the orders' statuses say.
//!
//! In: records of the topic `order-transitions`. Out: jobs and their changes, by compare-and-set. Only the latest version of each order in a
//! batch counts. Orders of workflows that ask for no couriers cost no I/O.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use comanda_kit::{consumer::Handler, kafka::Record, postgres::StoreError, workflows::Workflows};
use comanda_proto::{events::OrderTransition, v1::Workflow};
use prost::Message;
use tokio::sync::Notify;
use tracing::warn;
use uuid::Uuid;

use crate::{
    change::{Change, couriers},
    decide::{EARLY, MOST_WAY},
    jobs::{Stage, follow, stage},
    store::{Seen, Store},
    wake::Wake,
};

/// How often a batch decides again where commands came between.
const TRIES: usize = 5;

/// Follows orders.
#[derive(Clone, Debug)]
pub struct Follower {
    store: Store,
    workflows: Workflows,
    wake: Arc<Wake>,
    relay: Arc<Notify>,
}

impl Follower {
    /// `wake` tells the leader what it may act on, `relay` is notified of events.
    pub fn new(store: Store, workflows: Workflows, wake: Arc<Wake>, relay: Arc<Notify>) -> Self {
        Self { store, workflows, wake, relay }
    }

    /// Applies what was seen of orders; what is known already changes nothing.
    pub async fn follow(&self, seen: Vec<Seen>) -> Result<(), StoreError> {
        let mut rest = latest(seen);
        for _ in 0..TRIES {
            if rest.is_empty() {
                return Ok(());
            }
            self.follow_once(&mut rest).await?;
        }
        Err(StoreError::Undone("jobs changed each time that this batch decided".into()))
    }

    /// Applies what it can; what lost a race stays in `rest`.
    async fn follow_once(&self, rest: &mut BTreeMap<Uuid, Seen>) -> Result<(), StoreError> {
        let order_ids: Vec<_> = rest.keys().copied().collect();
        let cases = self.store.cases(&order_ids).await?;
        let mut unknown = rest.clone();
        let mut changes = Vec::new();
        for case in &cases {
            let Some(seen) = unknown.remove(&case.job.order_id) else { continue };
            if seen.version > case.job.order_version {
                let workflow = self.workflows.get(&seen.workflow, seen.workflow_revision).await?;
                let Some(dispatch) = &workflow.dispatch else { continue };
                changes.push(follow(dispatch, case, &seen));
            }
        }
        let asked: Vec<_> = changes.iter().map(|change| change.job.order_id).collect();
        self.add(unknown.into_values().collect()).await?;
        let applied = self.apply(changes).await?;
        rest.retain(|order_id, _| asked.contains(order_id) && !applied.contains(order_id));
        Ok(())
    }

    async fn add(&self, seen: Vec<Seen>) -> Result<(), StoreError> {
        let mut wanted = Vec::new();
        for seen in seen {
            let workflow = self.workflows.get(&seen.workflow, seen.workflow_revision).await?;
            if workflow.dispatch.as_ref().is_some_and(|dispatch| stage(dispatch, &seen.status) == Stage::Wanted) {
                wanted.push(seen);
            }
        }
        if self.store.add_jobs(wanted, EARLY + MOST_WAY).await? > 0 {
            self.wake.orders();
        }
        Ok(())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Uuid>, StoreError> {
        let tells = changes.iter().any(|change| change.event.is_some());
        let changed = couriers(&changes);
        let applied = self.store.apply(changes, None).await?;
        if !applied.is_empty() {
            self.wake.couriers(changed);
        }
        if tells {
            self.relay.notify_one();
        }
        Ok(applied)
    }

    /// What a record says of an order that may need a courier. Where it is undecodable, its key names an order that the views know.
    async fn read(&self, record: &Record) -> Result<Option<Seen>, StoreError> {
        if let Some(seen) = decode(record)
            && let Ok(workflow) = self.workflows.get(&seen.workflow, seen.workflow_revision).await
            && has_status(&workflow, &seen.status)
        {
            return Ok(workflow.dispatch.is_some().then_some(seen));
        }
        warn!(partition = record.partition, offset = record.offset, "undecodable record: looking up its key");
        let unreadable = |what: &str| StoreError::Unreadable(format!("undecodable record, and {what}"));
        let key = record.order_id().ok_or_else(|| unreadable("its key is no order id"))?;
        let seen = self.store.present(&[key]).await?.pop().ok_or_else(|| unreadable("there is no such order"))?;
        let workflow = self.workflows.get(&seen.workflow, seen.workflow_revision).await?;
        Ok(workflow.dispatch.is_some().then_some(seen))
    }
}

/// The newest of what was seen of each order.
fn latest(seen: Vec<Seen>) -> BTreeMap<Uuid, Seen> {
    let mut latest = BTreeMap::<_, Seen>::new();
    for seen in seen {
        if latest.get(&seen.order_id).is_none_or(|known| known.version < seen.version) {
            latest.insert(seen.order_id, seen);
        }
    }
    latest
}

/// What a record tells; the order is the one that the key names.
fn decode(record: &Record) -> Option<Seen> {
    let event = OrderTransition::decode(&*record.payload).ok()?;
    Some(Seen {
        order_id: Uuid::try_parse(&event.order_id).ok().filter(|order_id| record.order_id() == Some(*order_id))?,
        number: event.number,
        workflow: event.workflow,
        workflow_revision: event.workflow_revision,
        version: Some(event.version).filter(|version| *version > 0)?,
        status: event.to_status,
        actor: event.actor,
    })
}

fn has_status(workflow: &Workflow, status: &str) -> bool {
    workflow.statuses.iter().any(|known| known.name == status)
}

#[async_trait]
impl Handler for Follower {
    async fn topic_epoch(&self) -> Result<i64, StoreError> {
        self.store.transitions_epoch().await
    }

    async fn apply(&self, _topic_epoch: i64, records: &[Record]) -> Result<(), StoreError> {
        let mut seen = Vec::with_capacity(records.len());
        for record in records {
            seen.extend(self.read(record).await?);
        }
        self.follow(seen).await
    }
}

#[cfg(test)]
mod tests;
