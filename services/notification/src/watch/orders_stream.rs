//! WatchOrders: the transitions of many orders, from the hub's ring; first a snapshot from the store where the caller asks for one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use comanda_kit::{
    errors::ApiError,
    streams::{Output, Responses, Resume},
};
use comanda_proto::{
    errors::reason,
    frame::Frame,
    v1::{
        Heartbeat, Order, OrderView, SnapshotComplete, WatchOrdersResponse, watch_orders_response::Event as Response,
    },
};
use tokio::time::Instant;
use tonic::Code;
use uuid::Uuid;

use super::{cursor::Expired, event::Event, filter::Filter, hub::OrdersSubscription, store::Store};

/// One open stream.
pub struct OrdersStream {
    subscription: OrdersSubscription,
    snapshot: Option<Snapshot>,
    /// The versions that the snapshot showed.
    shown: Shown,
}

/// The orders that a stream shows first. The subscription must be older than the list, so that what happens in between is not missed.
pub struct Snapshot {
    /// Where the orders are read.
    pub store: Arc<Store>,
    /// Which orders belong in it.
    pub filter: Filter,
    /// How much of each is shown.
    pub view: OrderView,
    /// The orders that matched when the list was made.
    pub order_ids: Vec<Uuid>,
}

impl OrdersStream {
    /// A stream that begins with a snapshot, or with a heartbeat that carries its first token.
    pub fn new(subscription: OrdersSubscription, snapshot: Option<Snapshot>) -> Self {
        Self { subscription, snapshot, shown: Shown::default() }
    }

    async fn send_start(&mut self, output: &mut Output<Frame>) -> Result<(), ApiError> {
        let start = match self.snapshot.take() {
            None => Response::Heartbeat(Heartbeat { version: 0 }),
            Some(snapshot) => {
                self.send_snapshot(snapshot, output).await?;
                Response::SnapshotComplete(SnapshotComplete {})
            }
        };
        let (frame, resume) = with_token(&self.subscription, start)?;
        output.send(frame, resume).await
    }

    /// An order that has left the filter since the list was made is left out: its leaving comes as a transition.
    async fn send_snapshot(&mut self, snapshot: Snapshot, output: &mut Output<Frame>) -> Result<(), ApiError> {
        let Snapshot { store, filter, view, order_ids } = snapshot;
        let mut rest = &*order_ids;
        while !rest.is_empty() {
            let page = store.orders(filter.scope(), rest, view).await?;
            rest = &rest[page.looked_at..];
            for order in page.orders {
                if filter.shows(&order) {
                    self.send_order(order, output).await?;
                }
            }
        }
        Ok(())
    }

    async fn send_order(&mut self, order: Order, output: &mut Output<Frame>) -> Result<(), ApiError> {
        self.shown.insert(&order);
        let response = WatchOrdersResponse { event: Some(Response::Current(order)), ..Default::default() };
        output.send(Frame::message(&response), Resume::Start).await
    }

    /// Sends what the hub has; returns whether there was nothing to look at.
    async fn send_batch(&mut self, output: &mut Output<Frame>) -> Result<bool, ApiError> {
        let batch = self.subscription.take().map_err(token_expired)?;
        let idle = batch.events.is_empty() && !batch.more;
        for (event, token) in batch.events {
            if self.shown.is_new(&event) {
                output.send(event.frame.with_resume_token(&token), Resume::Token(token)).await?;
            }
        }
        Ok(idle)
    }
}

impl Responses for OrdersStream {
    type Response = Frame;

    async fn run(&mut self, output: &mut Output<Frame>) -> Result<(), ApiError> {
        self.send_start(output).await?;
        loop {
            if self.send_batch(output).await? {
                let subscription = &self.subscription;
                let heartbeat = || with_token(subscription, Response::Heartbeat(Heartbeat { version: 0 }));
                output.wait_for(subscription.news.notified(), heartbeat).await?;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// A response of our own after everything that was taken, with its token.
fn with_token(subscription: &OrdersSubscription, response: Response) -> Result<(Frame, Resume), ApiError> {
    let token = subscription.token().map_err(token_expired)?;
    let response = WatchOrdersResponse { event: Some(response), resume_token: token.clone() };
    Ok((Frame::message(&response), Resume::Token(token)))
}

/// The error for a token, or a stream, after which something is missing.
pub fn token_expired(_: Expired) -> ApiError {
    let message = "what follows this token is no longer kept; start with a snapshot";
    ApiError::new(Code::OutOfRange, reason::TOKEN_EXPIRED, message)
}

/// The versions that the snapshot showed. The topic may bring them afterwards; they are not sent again.
struct Shown {
    versions: HashMap<Uuid, i64>,
    since: Instant,
}

impl Default for Shown {
    fn default() -> Self {
        Self { versions: HashMap::new(), since: Instant::now() }
    }
}

impl Shown {
    /// What comes after this time can only come from a republish, and no token reaches back so far.
    const KEPT: Duration = Duration::from_secs(600);

    fn insert(&mut self, order: &Order) {
        if let Ok(order_id) = Uuid::try_parse(&order.order_id) {
            self.versions.insert(order_id, order.version);
        }
    }

    fn is_new(&mut self, event: &Event) -> bool {
        if !self.versions.is_empty() && self.since.elapsed() > Self::KEPT {
            self.versions = HashMap::new();
        }
        let Some(shown) = self.versions.get(&event.order_id).copied() else { return true };
        if event.version >= shown {
            self.versions.remove(&event.order_id);
        }
        event.version > shown
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::events::OrderTransition;

    use super::*;

    fn event(order: u128, version: i64) -> Event {
        let order_id = Uuid::from_u128(order).to_string();
        let transition = OrderTransition { order_id, tenant: "default".into(), version, ..Default::default() };
        Event::of_transition(0, 0, transition).expect("a transition")
    }

    fn order(order: u128, version: i64) -> Order {
        Order { order_id: Uuid::from_u128(order).to_string(), version, ..Default::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn versions_that_the_snapshot_showed_are_dropped_for_a_while() {
        let mut shown = Shown::default();
        shown.insert(&order(1, 3));
        shown.insert(&order(2, 3));
        assert!(!shown.is_new(&event(1, 2)));
        assert!(!shown.is_new(&event(1, 3)));
        assert!(shown.is_new(&event(1, 4)));
        assert!(shown.is_new(&event(2, 4)), "the shown version itself need not come");
        assert!(shown.is_new(&event(3, 1)));
        shown.insert(&order(4, 3));
        tokio::time::advance(Shown::KEPT * 2).await;
        assert!(shown.is_new(&event(4, 3)));
        assert!(shown.versions.is_empty());
    }
}
