//! WatchOrder: the transitions of one order, each once and in order, whether they come from the store or from the hub; and beside them its
//! courier, as it is.

use std::{sync::Arc, time::Duration};

use comanda_kit::{
    access::Scope,
    backoff::Backoff,
    errors::ApiError,
    planted,
    streams::{Output, Responses, Resume},
};
use comanda_proto::{
    errors::reason,
    events::OrderTransition,
    frame::Frame,
    v1::{CourierUpdate, Heartbeat, Order, OrderView, WatchOrderResponse, watch_order_response::Event as Response},
};
use metrics::counter;
use prost::Message;
use tokio::sync::broadcast::error::RecvError;
use tonic::Code;
use tracing::warn;

use super::{
    couriers::Couriers,
    event::{Event, is_terminal},
    follower::Follower,
    hub::{OrderSubscription, Update},
    store::{History, Opening, Store},
};

/// One open stream.
pub struct OrderStream {
    subscription: OrderSubscription,
    store: Arc<Store>,
    couriers: Arc<Couriers>,
    scope: Scope,
    view: OrderView,
    /// The last version sent; everything up to it was.
    sent: i64,
    /// What the store said first; sent at the beginning.
    opening: Option<Opening>,
    /// Shows the courier from `current` on; most orders never have one.
    courier: Option<Box<Follower>>,
    ended: bool,
}

/// What a stream is told next.
enum News {
    Order(Result<Update, RecvError>),
    Courier(Frame),
}

impl OrderStream {
    /// A stream after `after_version` that begins with `opening`. The subscription must be older than the opening, so that what happens
    /// in between is not missed.
    pub fn new(
        subscription: OrderSubscription,
        (store, couriers): (Arc<Store>, Arc<Couriers>),
        (scope, view): (Scope, OrderView),
        after_version: i64,
        opening: Opening,
    ) -> Self {
        subscription.starts_at(opening.version);
        let (sent, opening) = (after_version, Some(opening));
        Self { subscription, store, couriers, scope, view, sent, opening, courier: None, ended: false }
    }

    /// Sends the history, page by page, and then the order as it is.
    async fn send_opening(&mut self, output: &mut Output<Frame>) -> Result<(), ApiError> {
        let mut next = self.opening.take();
        while let Some(Opening { transitions, current, .. }) = next.take() {
            self.send_all(transitions, output).await?;
            match current {
                Some(order) => self.send_current(order, output).await?,
                None => next = Some(self.read_opening().await?),
            }
        }
        Ok(())
    }

    async fn read_opening(&self) -> Result<Opening, ApiError> {
        let order_id = self.subscription.order_id;
        let opening = self.store.opening(&self.scope, order_id, self.sent, self.view).await?;
        opening.ok_or_else(|| ApiError::order_not_found(order_id))
    }

    async fn send_all(
        &mut self,
        transitions: Vec<OrderTransition>,
        output: &mut Output<Frame>,
    ) -> Result<(), ApiError> {
        for transition in transitions {
            let frame = Frame::transition(&transition.encode_to_vec());
            self.send(frame, transition.version, transition.phase, output).await?;
            self.enter(&transition.to_status);
        }
        Ok(())
    }

    async fn send(
        &mut self,
        frame: Frame,
        version: i64,
        phase: i32,
        output: &mut Output<Frame>,
    ) -> Result<(), ApiError> {
        output.send(frame, Resume::Version(version)).await?;
        self.sent = version;
        self.ended = is_terminal(phase);
        Ok(())
    }

    async fn send_current(&mut self, order: Order, output: &mut Output<Frame>) -> Result<(), ApiError> {
        let (version, phase) = (order.version, order.phase);
        // The rest need not wait with a slow client.
        let sketch = Order {
            order_id: order.order_id.clone(),
            workflow: order.workflow.clone(),
            workflow_revision: order.workflow_revision,
            status: order.status.clone(),
            ..Order::default()
        };
        let frame = Frame::message(&WatchOrderResponse { event: Some(Response::Current(self.scope.shown(order))) });
        self.send(frame, version, phase, output).await?;
        if !self.ended {
            // In a box, which is gone afterwards: a stream keeps the room of everything that it ever awaits.
            self.courier = Box::pin(Follower::of(&sketch, &self.scope, &self.couriers)).await.map(Box::new);
        }
        Ok(())
    }

    /// The status that was sent last decides whether the courier is shown.
    fn enter(&mut self, status: &str) {
        if let Some(courier) = &mut self.courier {
            courier.enter(status);
        }
    }

    /// Sends what the hub told. A version that was sent before is dropped; a gap is read from the store.
    async fn send_event(&mut self, event: &Event, output: &mut Output<Frame>) -> Result<(), ApiError> {
        // The order is the caller's; a record that says otherwise is wrong.
        if event.tenant != self.scope.tenant() {
            return Ok(());
        }
        match event.version - self.sent {
            ..=0 => Ok(()),
            1 => {
                self.send(event.frame.clone(), event.version, event.phase, output).await?;
                self.enter(&event.to_status);
                Ok(())
            }
            _ => {
                counter!("comanda_watch_holes_total").increment(1);
                self.catch_up(output).await
            }
        }
    }

    /// Sends what the store has after the last version sent.
    async fn catch_up(&mut self, output: &mut Output<Frame>) -> Result<(), ApiError> {
        loop {
            let sent = self.sent;
            let page = output.wait_for(self.read_history(), || Ok(heartbeat(sent))).await??;
            self.send_all(page.transitions, output).await?;
            if page.complete {
                return Ok(());
            }
        }
    }

    /// A stream outlives an outage of the store, with heartbeats.
    async fn read_history(&self) -> Result<History, ApiError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.store.history(&self.scope, self.subscription.order_id, self.sent).await {
                Err(error) if error.is_transient() => warn!("a watch waits for the store: {error}"),
                result => return Ok(result?),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
}

impl Responses for OrderStream {
    type Response = Frame;

    async fn run(&mut self, output: &mut Output<Frame>) -> Result<(), ApiError> {
        self.send_opening(output).await?;
        while !self.ended {
            let sent = self.sent;
            let next = next(&mut self.subscription, &mut self.courier);
            match output.wait_for(next, || Ok(heartbeat(sent))).await? {
                News::Order(Ok(Update::Event(event))) => self.send_event(&event, output).await?,
                News::Order(Ok(Update::Reread)) => self.catch_up(output).await?,
                News::Order(Err(RecvError::Lagged(_))) => {
                    counter!("comanda_watch_overflows_total").increment(1);
                    self.catch_up(output).await?;
                }
                // The subscription itself keeps the channel open.
                News::Order(Err(RecvError::Closed)) => return Err(ApiError::internal()),
                News::Courier(frame) => output.send(frame, Resume::Version(self.sent)).await?,
            }
        }
        match self.courier.as_ref().filter(|_| planted!("position-after-end")).and_then(|courier| courier.told()) {
            Some(last) => output.send(courier_frame(last), Resume::Version(self.sent)).await,
            None => Ok(()),
        }
    }
}

/// Waits for news, those of the order first: the courier is shown by its status.
async fn next(order: &mut OrderSubscription, courier: &mut Option<Box<Follower>>) -> News {
    let Some(courier) = courier else { return News::Order(order.updates.recv().await) };
    // In a box too.
    let shown = Box::pin(courier.next());
    tokio::select! {
        biased;
        update = order.updates.recv() => News::Order(update),
        update = shown => News::Courier(courier_frame(&update)),
    }
}

fn courier_frame(update: &CourierUpdate) -> Frame {
    Frame::message(&WatchOrderResponse { event: Some(Response::Courier(update.clone())) })
}

fn heartbeat(sent: i64) -> (Frame, Resume) {
    let event = Some(Response::Heartbeat(Heartbeat { version: sent }));
    (Frame::message(&WatchOrderResponse { event }), Resume::Version(sent))
}

/// The error for a version that the order does not have yet.
pub fn version_ahead(after_version: i64, version: i64) -> ApiError {
    let message = format!("after_version is {after_version}, but the order is at version {version}");
    ApiError::new(Code::FailedPrecondition, reason::VERSION_AHEAD, message).with("version", version)
}
