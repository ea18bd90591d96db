//! Writing orders: many callers' orders in one statement, each answered for itself.

use std::{collections::HashMap, sync::Arc};

use comanda_kit::{
    batch::{Batcher, Limits, NotWritten},
    errors::ApiError,
    planted,
    postgres::StoreError,
    shares::{Share, Shares},
    shutdown::Tasks,
};
use comanda_proto::{errors::reason, v1::CreateOrderResponse, views::timestamp};
use tokio::sync::{Notify, oneshot};
use tonic::Code;
use tracing::warn;
use uuid::Uuid;

use crate::{
    order::NewOrder,
    store::{Earlier, Store, Stored},
};

/// One writer: orders that arrive during a commit are written by the next one. A second writer would only halve the batches.
const LIMITS: Limits = Limits { queue: 1024, batch: 256, writers: 1 };

/// How one order ended: stored, or refused.
pub type Outcome = Result<CreateOrderResponse, ApiError>;

/// The way into the database.
#[derive(Clone)]
pub struct Writer {
    batcher: Batcher<Queued, Outcome>,
    shares: Option<Shares>,
}

/// An order, and the part of the queue that its tenant holds with it.
struct Queued {
    order: NewOrder,
    _share: Option<Share>,
}

impl Writer {
    /// Starts the writers; `nudge` is notified after each commit. One tenant may hold so many percent of the queue.
    pub fn start(store: Store, nudge: Arc<Notify>, tenant_percent: u8, tasks: &Tasks) -> Self {
        let batcher = Batcher::start(tasks, "create orders", LIMITS, move |queued: Vec<Queued>| {
            let (store, nudge) = (store.clone(), nudge.clone());
            let orders = queued.into_iter().map(|queued| queued.order).collect();
            async move { write(&store, &nudge, orders).await }
        });
        let shares = (tenant_percent < 100).then(|| Shares::new(LIMITS.queue * usize::from(tenant_percent) / 100));
        Self { batcher, shares }
    }

    /// Queues an order; a full queue, or one of which the tenant holds as much as it may, refuses it at once. An order whose receiver is dropped before its batch begins is not written.
    pub fn enqueue(&self, order: NewOrder) -> Result<oneshot::Receiver<Outcome>, ApiError> {
        let share = self.share(order.scope.tenant())?;
        self.batcher.enqueue(Queued { order, _share: share }).map_err(|not_written| match not_written {
            NotWritten::Full => ApiError::overloaded(),
            NotWritten::Stopped => ApiError::shutting_down(),
        })
    }

    fn share(&self, tenant: &str) -> Result<Option<Share>, ApiError> {
        let Some(shares) = &self.shares else { return Ok(None) };
        shares.take(tenant, 1).map(Some).ok_or_else(ApiError::tenant_limit)
    }

    /// Whether the queue has room for this many orders now.
    pub fn has_room(&self, orders: usize) -> bool {
        self.batcher.room() >= orders
    }
}

/// Waits for the outcome of [`Writer::enqueue`]. If the writer has stopped, the outcome is unknown.
pub async fn outcome(receiver: oneshot::Receiver<Outcome>) -> Outcome {
    receiver.await.unwrap_or_else(|_| Err(ApiError::unavailable()))
}

async fn write(store: &Store, nudge: &Notify, orders: Vec<NewOrder>) -> Vec<Outcome> {
    match store.insert(&orders).await {
        Ok(stored) => answer(store, nudge, orders, stored).await,
        // One order that the database refuses must not fail the others.
        Err(StoreError::Refused(_)) if orders.len() > 1 => {
            let mut outcomes = Vec::with_capacity(orders.len());
            for order in orders {
                outcomes.extend(Box::pin(write(store, nudge, vec![order])).await);
            }
            outcomes
        }
        Err(error) => vec![Err(ApiError::from(error)); orders.len()],
    }
}

async fn answer(store: &Store, nudge: &Notify, orders: Vec<NewOrder>, stored: HashMap<Uuid, Stored>) -> Vec<Outcome> {
    if !stored.is_empty() {
        nudge.notify_one();
    }
    let repeated: Vec<_> = orders.iter().filter(|order| !stored.contains_key(&order.order_id)).collect();
    // A look-up that fails concerns only those who repeat a request: they get UNAVAILABLE, the others their orders.
    let earlier = match store.earlier(&repeated).await {
        Ok(earlier) => earlier,
        Err(error) => {
            warn!("repeated requests were not looked up: {error}");
            HashMap::new()
        }
    };
    orders.into_iter().map(|order| outcome_of(order, &stored, &earlier)).collect()
}

fn outcome_of(order: NewOrder, stored: &HashMap<Uuid, Stored>, earlier: &HashMap<Uuid, Earlier>) -> Outcome {
    if let Some(stored) = stored.get(&order.order_id) {
        let order = order.into_order(stored.number, timestamp(stored.create_time));
        return Ok(CreateOrderResponse { order: Some(order), ..Default::default() });
    }
    let Some((request_id, hash)) = &order.request else { return Err(ApiError::internal()) };
    match earlier.get(&order.order_id) {
        Some(earlier) if earlier.hash == *hash || planted!("replay-without-hash") => {
            Ok(CreateOrderResponse { order: Some(earlier.order.clone()), replayed: true, ..Default::default() })
        }
        Some(earlier) => Err(mismatch(*request_id, shown(&order, earlier))),
        // Not found in time, or forgotten between the two statements: the next try will tell.
        None => Err(ApiError::unavailable()),
    }
}

/// The id of the earlier order, if its caller may reach that.
fn shown<'e>(order: &NewOrder, earlier: &'e Earlier) -> Option<&'e str> {
    let customer_id = earlier.order.customer.as_ref().map_or("", |customer| &customer.customer_id);
    order.scope.reaches_customer(customer_id).then_some(earlier.order.order_id.as_str())
}

fn mismatch(request_id: Uuid, order_id: Option<&str>) -> ApiError {
    let message = format!("request_id {request_id} was used before, with another request; nothing was done");
    let error =
        ApiError::new(Code::InvalidArgument, reason::IDEMPOTENCY_MISMATCH, message).with("request_id", request_id);
    match order_id {
        Some(order_id) => error.with("order_id", order_id),
        None => error,
    }
}
