//! WatchOrders: the transitions of many orders, from the hub's ring, after a snapshot from the store where one is asked for.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use comanda_kit::errors::ApiError;
use comanda_proto::{
    errors::reason,
    frame::Frame,
    v1::{Heartbeat, Order, WatchOrdersResponse, watch_orders_response::Event as Response},
};
use tokio::time::Instant;
use tonic::Code;
use uuid::Uuid;

use super::{
    event::Event,
    filter::Filter,
    follower::Taken,
    hub::Following,
    pace::{Pace, Responses, Wake},
    store::Store,
};

/// How many orders of a snapshot are read at once: an order may be large.
const SNAPSHOT_PAGE: usize = 64;

/// One open stream.
pub struct OrdersStream {
    following: Following,
    filter: Filter,
    store: Arc<Store>,
    pace: Pace,
    /// The last token sent; empty before the first.
    token: Vec<u8>,
    queue: VecDeque<Queued>,
    snapshot: Option<Snapshot>,
    shown: Shown,
}

/// A response that waits to be sent, and its token.
struct Queued {
    frame: Frame,
    token: Vec<u8>,
}

/// What is still to be shown.
struct Snapshot {
    order_ids: std::vec::IntoIter<Uuid>,
}

impl OrdersStream {
    /// A stream that begins where the watch does, with a heartbeat that carries its first token.
    pub fn live(following: Following, filter: Filter, store: Arc<Store>, pace: Pace) -> Result<Self, ApiError> {
        let mut stream = Self::new(following, filter, store, pace, None);
        let heartbeat = stream.heartbeat()?;
        stream.queue.push_back(heartbeat);
        Ok(stream)
    }

    /// A stream that first shows these orders. The watch must have begun before they were looked for.
    pub fn snapshot(following: Following, filter: Filter, store: Arc<Store>, pace: Pace, order_ids: Vec<Uuid>) -> Self {
        let snapshot = Snapshot { order_ids: order_ids.into_iter() };
        Self::new(following, filter, store, pace, Some(snapshot))
    }

    fn new(following: Following, filter: Filter, store: Arc<Store>, pace: Pace, snapshot: Option<Snapshot>) -> Self {
        let (token, queue, shown) = (Vec::new(), VecDeque::new(), Shown::default());
        Self { following, filter, store, pace, token, queue, snapshot, shown }
    }

    fn sent(&mut self, queued: Queued) -> Frame {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        if queued.token.is_empty() {
            return queued.frame;
        }
        self.token = queued.token;
        queued.frame.with_resume_token(&self.token)
    }

    /// A response of our own behind everything that was taken.
    fn mark(&self, response: Response) -> Result<Queued, ApiError> {
        let token = self.following.token().ok_or_else(token_expired)?;
        let response = WatchOrdersResponse { event: Some(response), ..Default::default() };
        Ok(Queued { frame: Frame::message(&response), token })
    }

    fn heartbeat(&self) -> Result<Queued, ApiError> {
        self.mark(Response::Heartbeat(Heartbeat { version: 0 }))
    }

    /// The next response, once it is there. This stream has no good end.
    async fn advance(&mut self) -> Result<Frame, ApiError> {
        self.pace.check()?;
        loop {
            if let Some(queued) = self.queue.pop_front() {
                return Ok(self.sent(queued));
            }
            if let Some(snapshot) = &mut self.snapshot {
                let page: Vec<_> = snapshot.order_ids.by_ref().take(SNAPSHOT_PAGE).collect();
                self.show(page).await?;
                continue;
            }
            match self.following.take() {
                Taken::Events(events, since) => {
                    self.pace.check_since(since)?;
                    self.enqueue(events);
                }
                Taken::More => tokio::task::yield_now().await,
                Taken::Expired => return Err(token_expired()),
                Taken::Nothing => {
                    if self.pace.rest(&self.following.wake, None).await? == Wake::Heartbeat {
                        let heartbeat = self.heartbeat()?;
                        return Ok(self.sent(heartbeat));
                    }
                }
            }
        }
    }

    fn enqueue(&mut self, events: Vec<(Arc<Event>, Vec<u8>)>) {
        for (event, token) in events {
            if self.shown.is_news(&event) {
                self.queue.push_back(Queued { frame: event.frame.clone(), token });
            }
        }
    }

    /// Shows a page of the snapshot; an empty one is its end. An order that has left the filter since it was found is left out: its
    /// leaving comes as a transition.
    async fn show(&mut self, order_ids: Vec<Uuid>) -> Result<(), ApiError> {
        if order_ids.is_empty() {
            self.snapshot = None;
            let complete = self.mark(Response::SnapshotComplete(()))?;
            self.queue.push_back(complete);
            return Ok(());
        }
        let orders = self.pace.wait_for(Box::pin(self.store.orders(order_ids))).await??;
        for (order_id, order) in orders {
            if self.filter.shows(&order) {
                self.show_order(order_id, order);
            }
        }
        Ok(())
    }

    fn show_order(&mut self, order_id: Uuid, order: Order) {
        self.shown.versions.insert(order_id, order.version);
        let response = WatchOrdersResponse { event: Some(Response::Current(order)), ..Default::default() };
        self.queue.push_back(Queued { frame: Frame::message(&response), token: Vec::new() });
    }
}

impl Responses for OrdersStream {
    type Response = Frame;

    async fn next(&mut self) -> Result<Option<Frame>, ApiError> {
        let response = self.advance().await;
        self.pace.respond();
        match response {
            Ok(frame) => Ok(Some(frame)),
            Err(error) if self.token.is_empty() => Err(error),
            Err(error) => Err(error.with("resume_token", STANDARD.encode(&self.token))),
        }
    }
}

/// The error for a token, or a stream, behind which something is gone.
pub fn token_expired() -> ApiError {
    let message = "what lies behind this token is no longer at hand; watch with a snapshot again";
    ApiError::new(Code::OutOfRange, reason::TOKEN_EXPIRED, message)
}

/// The versions that the snapshot showed: the topic brings those that were not yet published again.
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
    /// From here on a repetition can only be a republished one, and no token reaches back so far.
    const FORGOTTEN_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

    fn is_news(&mut self, event: &Event) -> bool {
        if self.versions.is_empty() {
            return true;
        }
        if self.since.elapsed() > Self::FORGOTTEN_AFTER {
            self.versions = HashMap::new();
            return true;
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
    use comanda_proto::v1::OrderTransition;

    use super::*;
    use crate::watch::event::Place;

    fn event(order: u128, version: i64) -> Event {
        let order_id = Uuid::from_u128(order).to_string();
        let transition = OrderTransition { order_id, version, ..Default::default() };
        Event::of_transition(Place::of_record(0, 0), transition).expect("a transition")
    }

    #[tokio::test(start_paused = true)]
    async fn versions_that_the_snapshot_showed_are_dropped_for_a_while() {
        let mut shown = Shown::default();
        shown.versions.extend([(Uuid::from_u128(1), 3), (Uuid::from_u128(2), 3)]);
        assert!(!shown.is_news(&event(1, 2)));
        assert!(!shown.is_news(&event(1, 3)));
        assert!(shown.is_news(&event(1, 4)));
        assert!(shown.is_news(&event(2, 4)), "the shown version itself need not come");
        assert!(shown.is_news(&event(3, 1)));
        shown.versions.insert(Uuid::from_u128(4), 3);
        tokio::time::advance(Shown::FORGOTTEN_AFTER * 2).await;
        assert!(shown.is_news(&event(4, 3)));
        assert!(shown.versions.is_empty());
    }
}
