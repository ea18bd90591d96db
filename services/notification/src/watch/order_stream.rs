//! WatchOrder: the transitions of one order, each once and in order, from the store and from the hub alike.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use comanda_kit::{backoff::Backoff, errors::ApiError, postgres::StoreError};
use comanda_proto::{
    errors::reason,
    frame::Frame,
    v1::{Heartbeat, OrderTransition, WatchOrderResponse, watch_order_response::Event as Response},
};
use metrics::counter;
use prost::Message;
use tokio::time::Instant;
use tonic::Code;
use tracing::warn;

use super::{
    event::{Event, is_terminal},
    hub::Watching,
    pace::{Pace, Responses, Wake},
    store::{Opening, Store},
    watcher::Taken,
};

/// One open stream.
pub struct OrderStream {
    watching: Watching,
    store: Arc<Store>,
    pace: Pace,
    /// The last version sent; everything up to it was.
    sent: i64,
    queue: VecDeque<Queued>,
    /// Where the next versions come from.
    source: Source,
    ended: bool,
}

/// A response that waits to be sent.
struct Queued {
    version: i64,
    terminal: bool,
    frame: Frame,
}

/// Where a stream gets what comes next.
enum Source {
    /// From the store: the history, and then the order as it is.
    Opening,
    /// From the store: the history.
    History(Box<Retry>),
    /// From the hub.
    Hub,
}

/// When to ask the store again.
struct Retry {
    at: Option<Instant>,
    backoff: Backoff,
}

impl Source {
    fn history() -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        Self::History(Box::new(Retry { at: None, backoff }))
    }
}

impl OrderStream {
    /// A stream behind `after_version`, with what the store said first. The watch must have begun before the store was asked.
    pub fn new(watching: Watching, store: Arc<Store>, pace: Pace, after_version: i64, opening: Opening) -> Self {
        let (queue, source, ended) = (VecDeque::new(), Source::Opening, false);
        let mut stream = Self { watching, store, pace, sent: after_version, queue, source, ended };
        stream.open(opening);
        stream
    }

    /// Queues the history and, once that is whole, the order as it is.
    fn open(&mut self, opening: Opening) {
        self.enqueue(opening.transitions);
        if let Some(order) = opening.current {
            let (version, terminal) = (order.version, is_terminal(order.phase));
            let frame = Frame::message(&WatchOrderResponse { event: Some(Response::Current(order)) });
            self.queue.push_back(Queued { version, terminal, frame });
            self.source = Source::Hub;
        }
    }

    fn enqueue(&mut self, transitions: Vec<OrderTransition>) {
        self.queue.extend(transitions.into_iter().map(|transition| Queued {
            version: transition.version,
            // While the order as it is follows, that one ends the stream.
            terminal: is_terminal(transition.phase) && !matches!(self.source, Source::Opening),
            frame: Frame::transition(&transition.encode_to_vec()),
        }));
    }

    fn sent(&mut self, queued: Queued) -> Frame {
        self.sent = queued.version;
        self.ended = queued.terminal;
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        queued.frame
    }

    /// Takes in what the hub has. A version that was sent from the store before is dropped; a hole sends us back to the store.
    fn accept(&mut self, event: &Event) {
        match event.version - self.sent {
            ..=0 => {}
            1 => {
                let Event { version, terminal, .. } = *event;
                self.queue.push_back(Queued { version, terminal, frame: event.frame.clone() });
            }
            _ => {
                counter!("comanda_watch_holes_total").increment(1);
                self.source = Source::history();
            }
        }
    }

    fn heartbeat(&mut self) -> Frame {
        let heartbeat = Heartbeat { version: self.sent };
        Frame::message(&WatchOrderResponse { event: Some(Response::Heartbeat(heartbeat)) })
    }

    /// The next response, once it is there; `None` when the order has ended.
    async fn advance(&mut self) -> Result<Option<Frame>, ApiError> {
        self.pace.check()?;
        loop {
            if let Some(queued) = self.queue.pop_front() {
                return Ok(Some(self.sent(queued)));
            }
            if self.ended {
                return Ok(None);
            }
            if self.must_ask_the_store() {
                self.ask_the_store().await?;
                continue;
            }
            match self.take_from_hub()? {
                Taken::Event(event, _) => self.accept(&event),
                Taken::Behind(_) => self.source = Source::history(),
                Taken::Nothing => {
                    if self.pace.rest(&self.watching.watcher.news, self.retry_at()).await? == Wake::Heartbeat {
                        return Ok(Some(self.heartbeat()));
                    }
                }
            }
        }
    }

    /// While the store does not answer, the hub's buffer stays as it is, bounded.
    fn take_from_hub(&mut self) -> Result<Taken, ApiError> {
        if self.retry_at().is_some() {
            return Ok(Taken::Nothing);
        }
        let taken = self.watching.watcher.take(self.sent);
        if let Taken::Event(_, since) | Taken::Behind(since) = &taken {
            self.pace.check_since(*since)?;
        }
        Ok(taken)
    }

    fn retry_at(&self) -> Option<Instant> {
        if let Source::History(retry) = &self.source { retry.at } else { None }
    }

    fn must_ask_the_store(&self) -> bool {
        match &self.source {
            Source::Opening => true,
            Source::History(retry) => retry.at.is_none_or(|at| at <= Instant::now()),
            Source::Hub => false,
        }
    }

    async fn ask_the_store(&mut self) -> Result<(), ApiError> {
        let (order_id, sent) = (self.watching.order_id, self.sent);
        if matches!(self.source, Source::Opening) {
            let opening = self.pace.wait_for(Box::pin(self.store.opening(order_id, sent))).await??;
            self.open(opening.ok_or_else(|| ApiError::order_not_found(order_id))?);
            return Ok(());
        }
        match self.pace.wait_for(Box::pin(self.store.history(order_id, sent))).await? {
            Ok(history) => {
                self.enqueue(history.transitions);
                if history.complete {
                    self.source = Source::Hub;
                }
                Ok(())
            }
            Err(error) => self.ask_again_later(error),
        }
    }

    /// A stream outlives an outage of the store, with heartbeats.
    fn ask_again_later(&mut self, error: StoreError) -> Result<(), ApiError> {
        let Source::History(retry) = &mut self.source else { return Err(error.into()) };
        if !error.is_transient() {
            return Err(error.into());
        }
        warn!("a watch waits for the store: {error}");
        retry.at = Some(Instant::now() + retry.backoff.next_delay());
        Ok(())
    }
}

impl Responses for OrderStream {
    type Response = Frame;

    async fn next(&mut self) -> Result<Option<Frame>, ApiError> {
        let response = self.advance().await;
        self.pace.respond();
        response.map_err(|error| error.with("version", self.sent))
    }
}

/// The error for a version that the order does not have yet.
pub fn version_ahead(after_version: i64, version: i64) -> ApiError {
    let message = format!("after_version is {after_version}, but the order is at version {version}");
    ApiError::new(Code::FailedPrecondition, reason::VERSION_AHEAD, message).with("version", version)
}
