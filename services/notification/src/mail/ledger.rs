//! Enters a mail for every transition.
//!
//! In: records of the topic `order-transitions`. Out: one row for each order and version, `suppressed` where no mail is due, so
//! that the ledger has no holes; a hole in the topic is filled from the order's history. Mails that may be sent at once go straight to
//! the senders of this process, where these have room.

use std::sync::Arc;

use async_trait::async_trait;
use comanda_kit::{consumer::Handler, kafka::Record, postgres::StoreError, workflows::Workflows};
use comanda_proto::v1::MailState;
use metrics::counter;
use tracing::{error, info};
use uuid::Uuid;

use super::{
    due::Due,
    handover::Handover,
    plan::{self, Batch},
    row::{Entry, Known, NewMail},
    store::Store,
};

/// The handler of the mail's consumer group.
pub struct Ledger {
    pub store: Store,
    pub workflows: Workflows,
    pub handover: Arc<Handover>,
    pub due: Arc<Due>,
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
        self.enter(mails).await
    }
}

impl Ledger {
    /// Hands over what may be sent at once, and enters the rest: as due, or as suppressed.
    async fn enter(&self, mails: Vec<NewMail>) -> Result<(), StoreError> {
        let (next, mut rest): (Vec<_>, Vec<_>) = mails.into_iter().partition(|mail| mail.is_next);
        rest.extend_from_slice(self.handover.enter(&next).await?);
        if rest.is_empty() {
            return Ok(());
        }
        rest.sort_by_key(|mail| (mail.order_id, mail.version));
        self.store.enter(&rest).await?;
        if rest.iter().any(|mail| mail.state == MailState::Due) {
            self.due.entered();
        }
        Ok(())
    }

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
            let mut is_settled = known.is_settled;
            for entry in batch.missing(known)? {
                let mail = self.new_mail(entry, known, is_settled).await?;
                is_settled &= mail.state != MailState::Due;
                mails.push(mail);
            }
        }
        Ok(mails)
    }

    async fn new_mail(&self, entry: &Entry, known: &Known, is_settled: bool) -> Result<NewMail, StoreError> {
        let workflow = self.workflows.get(&entry.workflow, entry.workflow_revision).await?;
        if workflow.statuses.iter().all(|status| status.name != entry.status) {
            error!(order_id = %entry.order_id, status = entry.status, "the workflow has no such status: no mail");
        }
        let state = plan::state(&workflow, &entry.status, known.has_address);
        Ok(NewMail {
            order_id: entry.order_id,
            version: entry.version,
            tenant: known.tenant.clone(),
            status: entry.status.clone(),
            transition_time: entry.transition_time,
            state,
            not_before: known.not_before,
            is_next: is_settled && state == MailState::Due,
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
