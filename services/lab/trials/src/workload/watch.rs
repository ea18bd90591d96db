//! Clients that watch one order to its end, coming back to any replica with the last version they saw.

use std::{sync::Arc, time::Duration};

use comanda_checker::history::{Event, What};
use comanda_proto::v1::{OrderView, WatchOrderRequest, watch_order_response};
use rand::{RngExt, rngs::StdRng};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Code;

use super::{
    clients::Clients,
    shown,
    sse::Shown,
    streams::{self, End, Habit},
};
use crate::cluster::Role;

/// A reader stays for so much of an order's life, at most, before it comes back elsewhere.
const STAY: f64 = 0.3;
/// How often a reader stays to the end.
const STAYERS: f64 = 0.2;
const TO_THE_END: Duration = Duration::from_secs(24 * 60 * 60);
/// The first wait of a reader whose stream was ended or did not open, at most, and the longest.
const FIRST_WAIT_MS: u64 = 500;
const MOST_WAIT_MS: u64 = 8_000;
/// How often a reader that leaves does not come back.
const LEAVERS: f64 = 0.02;

/// A client that watches one order.
pub(super) struct Watcher {
    pub(super) clients: Arc<Clients>,
    pub(super) name: String,
    pub(super) rng: StdRng,
    pub(super) order_id: String,
    /// Whether it is a browser.
    pub(super) by_http: bool,
    pub(super) seen: Seen,
    pub(super) _place: OwnedSemaphorePermit,
}

/// What a watcher has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The last version.
    version: i64,
    /// The last id of an event, from which a browser goes on, whatever it was shown.
    last_event_id: String,
    /// A stream has ended without an error.
    end: bool,
}

impl Watcher {
    /// Watches until the order has ended, or for as long as it likes.
    pub(super) async fn run(mut self) {
        let mut most_ms = 0;
        loop {
            let (opened, end) = self.watch().await;
            match end.code() {
                None if end == End::SeenAll || self.rng.random_bool(LEAVERS) => return,
                None => {}
                // As a browser does, which is then told to stay away.
                Some(Code::Ok) if self.by_http && !std::mem::replace(&mut self.seen.end, true) => {}
                Some(Code::Ok | Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition) => return,
                Some(_) => {
                    // As the libraries of gRPC do: longer each time, and not all at once.
                    most_ms = if opened { FIRST_WAIT_MS } else { (2 * most_ms).clamp(FIRST_WAIT_MS, MOST_WAIT_MS) };
                    tokio::time::sleep(Duration::from_millis(self.rng.random_range(most_ms / 10..=most_ms))).await;
                }
            }
        }
    }

    /// One stream, from its beginning to its end; and whether it ever opened.
    async fn watch(&mut self) -> (bool, End) {
        let entry = self.clients.entry(self.by_http, Role::Notification, &mut self.rng);
        let (stream, order_id) = (self.clients.recorder.number(), self.order_id.clone());
        let after_version = self.seen.version;
        self.clients.recorder.record(What::Watch {
            stream,
            client: self.name.clone(),
            tenant: self.clients.tenant.name.clone(),
            replica: entry.replica().to_owned(),
            order_id: order_id.clone(),
            after_version,
        });
        let request = WatchOrderRequest { order_id, after_version, view: OrderView::Full.into() };
        let (opened, end) = match streams::opened(entry.watch_order(request, &self.seen.last_event_id)).await {
            Ok(responses) => {
                let short = Duration::from_millis(self.clients.settings.order_life_ms).mul_f64(STAY);
                let stay = if self.rng.random_bool(STAYERS) { TO_THE_END } else { short };
                let habit = Habit::draw(stay, &mut self.rng);
                let (clients, seen) = (&self.clients, &mut self.seen);
                let see = |shown| seen.see(clients, stream, shown);
                (true, streams::read(clients, responses, habit, &mut self.rng, see).await)
            }
            Err(end) => (false, end),
        };
        end.record(&self.clients, stream);
        (opened, end)
    }
}

impl Seen {
    /// Records what a stream shows; true where it is more than a heartbeat.
    fn see(&mut self, clients: &Clients, stream: u64, (response, id): Shown) -> bool {
        use watch_order_response::Event::{Courier, Current, Heartbeat, Transition};
        if let Some(id) = id {
            self.last_event_id = id;
        }
        let event = match response.event {
            Some(Transition(transition)) => {
                self.version = transition.version.max(self.version);
                Event::Transition { transition: shown::transition(&transition) }
            }
            Some(Current(order)) => Event::Current { order: shown::order(&order) },
            Some(Heartbeat(heartbeat)) => Event::Heartbeat { version: heartbeat.version },
            Some(Courier(courier)) => {
                Event::Courier { attempt: courier.attempt, has_position: courier.position.is_some() }
            }
            None => return false,
        };
        let is_news = !matches!(event, Event::Heartbeat { .. } | Event::Courier { .. });
        clients.recorder.record(What::Event { stream, event });
        is_news
    }
}
