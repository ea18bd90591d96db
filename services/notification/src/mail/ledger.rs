//! Enters a mail for every transition.
//!
//! In: records of the topic `order-transitions`. Out: one row for each order and version, `suppressed` where no mail is due, so
//! that the ledger has no holes; a hole in the topic is filled from the order's history.

use std::sync::Arc;

use async_trait::async_trait;
use comanda_kit::{consumer::Handler, kafka::Record, postgres::StoreError, workflows::Workflows};
use comanda_proto::v1::MailState;
use metrics::counter;
use tokio::sync::Notify;
use tracing::{error, info};
use uuid::Uuid;

use super::{
    plan::{self, Batch},
    row::{Entry, Known, NewMail},
    store::Store,
};

/// The handler of the mail's consumer group.
pub struct Ledger {
    pub store: Store,
    pub workflows: Workflows,
    /// Notified when mails have become due.
    pub due: Arc<Notify>,
}

#[async_trait]
impl Handler for Ledger {
    async fn topic_epoch(&self) -> Result<i64, StoreError> {
        self.store.topic_epoch().await
    }

    async fn apply(&self, _topic_epoch: i64, records: &[Record]) -> Result<(), StoreError> {
        let mut batch = Batch::read(records)?;
        let known = self.store.known(&batch.orders()).await?;
        check_hints(&batch, &known)?;
        self.fill_holes(&mut batch, &known).await?;
        let mails = self.new_mails(&batch, &known).await?;
        if !mails.is_empty() {
            self.store.enter(&mails).await?;
        }
        if mails.iter().any(|mail| mail.state == MailState::Due) {
            self.due.notify_one();
        }
        Ok(())
    }
}

impl Ledger {
    async fn fill_holes(&self, batch: &mut Batch, known: &[Known]) -> Result<(), StoreError> {
        for known in known {
            if let Some((above, to)) = batch.hole(known) {
                info!(order_id = %known.order_id, above, "the topic lacks transitions: reading them from the history");
                counter!("comanda_mail_holes_total").increment(1);
                let history = self.store.history(known.order_id, above, to).await?;
                history.into_iter().for_each(|entry| batch.add(entry));
            }
        }
        Ok(())
    }

    /// In key order, since the batch and `known` are.
    async fn new_mails(&self, batch: &Batch, known: &[Known]) -> Result<Vec<NewMail>, StoreError> {
        let mut mails = Vec::new();
        for known in known {
            for entry in batch.missing(known)? {
                mails.push(self.new_mail(entry, known).await?);
            }
        }
        Ok(mails)
    }

    async fn new_mail(&self, entry: &Entry, known: &Known) -> Result<NewMail, StoreError> {
        let workflow = self.workflows.get(&entry.workflow, entry.workflow_revision).await?;
        if workflow.statuses.iter().all(|status| status.name != entry.status) {
            error!(order_id = %entry.order_id, status = entry.status, "the workflow has no such status: no mail");
        }
        Ok(NewMail {
            order_id: entry.order_id,
            version: entry.version,
            tenant: known.tenant.clone(),
            status: entry.status.clone(),
            transition_time: entry.transition_time,
            state: plan::state(&workflow, &entry.status, known.has_address),
            not_before: known.not_before,
        })
    }
}

/// A hint about an order that does not exist is an error. A transition of such an order is not: the order was purged meanwhile.
fn check_hints(batch: &Batch, known: &[Known]) -> Result<(), StoreError> {
    let exists = |order: &Uuid| known.iter().any(|known| known.order_id == *order);
    match batch.hints.iter().find(|order| !exists(order)) {
        Some(order) => {
            Err(StoreError::Unreadable(format!("the record is no transition, and there is no order {order}")))
        }
        None => Ok(()),
    }
}
