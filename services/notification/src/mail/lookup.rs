//! What the database knows beside a claimed mail: its order's workflow, and the courier who has the order.

use std::{sync::Arc, time::Duration};

use comanda_kit::{backoff::Backoff, postgres::StoreError};
use comanda_proto::{v1::Workflow, views::CourierRow};
use tracing::warn;

use super::{context::SenderContext, plan, row::Claimed};
use crate::courier::{self, InHands};

/// The template that names the courier.
const COURIER: &str = "courier";

/// The workflow of a mail's order; an empty one where it cannot be read, so that the mail is sent all the same.
pub async fn workflow(context: &SenderContext, mail: &Claimed) -> Arc<Workflow> {
    let (name, revision) = (&mail.contact.workflow, mail.contact.workflow_revision);
    patiently("a workflow", || context.workflows.get(name, revision)).await.unwrap_or_default()
}

/// Who has the mail's order, as it is now; `None` where the mail does not say it, or where nobody has it any more.
pub async fn courier(context: &SenderContext, mail: &Claimed, workflow: &Workflow) -> Option<CourierRow> {
    if plan::template(workflow, &mail.status) != COURIER {
        return None;
    }
    let (pool, contact) = (&context.store.pool, &mail.contact);
    let read = || courier::store::of_order(pool, &contact.tenant, contact.order_id, workflow);
    match patiently("the courier of an order", read).await? {
        InHands::Of(courier) => Some(*courier),
        InHands::Nobodys | InHands::Done => None,
    }
}

/// Reads until the database answers; `None` where it never will.
async fn patiently<T, F>(what: &str, read: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match read().await {
            Ok(found) => return Some(found),
            Err(error) => {
                warn!("{what} cannot be read: {error}");
                if !error.is_transient() {
                    return None;
                }
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}
