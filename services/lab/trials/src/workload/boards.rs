//! Clients that watch many orders at once, as a board on a wall does, for as long as the run lasts: by snapshot, from now on, and
//! again and again from where a stream ended, on any replica.

use std::{sync::Arc, time::Duration};

use comanda_checker::history::{Event, Start, What};
use comanda_proto::v1::{
    OrderView, WatchFilter, WatchOrdersRequest, WatchOrdersResponse, watch_orders_request, watch_orders_response,
};
use rand::{RngExt, rngs::StdRng};
use tonic::Code;

use super::{
    clients::Clients,
    shown,
    streams::{self, End, Habit},
};
use crate::cluster::Role;

/// How long a board stays with one stream, at most.
const STAY: Duration = Duration::from_secs(8);
/// How often a board is of one customer alone.
const OF_ONE_CUSTOMER: f64 = 0.25;
/// How often a board begins again though it could go on.
const NEW_CHAINS: f64 = 0.03;
const SNAPSHOTS: f64 = 0.7;

/// A place to go on from.
#[derive(Clone, Debug)]
struct Token {
    /// The stream that showed it.
    of: u64,
    bytes: Vec<u8>,
}

/// A client that watches many orders.
pub(super) struct Board {
    clients: Arc<Clients>,
    name: String,
    rng: StdRng,
    /// Whose orders; empty means everybody's.
    customer_id: String,
    token: Option<Token>,
    /// A snapshot would be too large.
    is_crowded: bool,
}

impl Board {
    pub(super) fn new(clients: Arc<Clients>, name: String, rng: StdRng) -> Self {
        Self { clients, name, rng, customer_id: String::new(), token: None, is_crowded: false }
    }

    /// Watches until the run's last look.
    pub(super) async fn run(mut self) {
        loop {
            if self.token.is_none() || self.rng.random_bool(NEW_CHAINS) {
                self.begin_again();
            }
            let end = self.watch().await;
            match end.code() {
                None if end == End::SeenAll => return,
                None => {}
                Some(Code::OutOfRange | Code::InvalidArgument) => self.token = None,
                Some(Code::FailedPrecondition) => self.is_crowded = true,
                Some(_) => tokio::time::sleep(Duration::from_millis(self.rng.random_range(50..=500))).await,
            }
        }
    }

    fn begin_again(&mut self) {
        self.token = None;
        let known = self.clients.known.any(&mut self.rng).filter(|_| self.rng.random_bool(OF_ONE_CUSTOMER));
        self.customer_id = known.map(|order| order.customer_id).unwrap_or_default();
    }

    /// One stream, from its beginning to its end.
    async fn watch(&mut self) -> End {
        // Each stream may come another way than the one that it goes on from: a token is the same on both.
        let by_http = self.clients.goes_by_http(&mut self.rng);
        let entry = self.clients.entry(by_http, Role::Notification, &mut self.rng);
        let stream = self.clients.recorder.number();
        let (start, asked) = self.start();
        self.clients.recorder.record(What::WatchAll {
            stream,
            client: self.name.clone(),
            tenant: self.clients.tenant.name.clone(),
            replica: entry.replica().to_owned(),
            customer_id: self.customer_id.clone(),
            start,
        });
        let filter = Some(WatchFilter { customer_id: self.customer_id.clone(), ..WatchFilter::default() });
        // All of an order, so that it can be compared with what was asked for.
        let request = WatchOrdersRequest { filter, start: Some(asked), view: OrderView::Full.into() };
        let end = match streams::opened(entry.watch_orders(request)).await {
            Ok(responses) => {
                let habit = Habit::draw(STAY, &mut self.rng);
                let (clients, token) = (&self.clients, &mut self.token);
                streams::read(clients, responses, habit, &mut self.rng, |response| {
                    see(clients, stream, token, response)
                })
                .await
            }
            Err(end) => end,
        };
        end.record(&self.clients, stream);
        end
    }

    fn start(&mut self) -> (Start, watch_orders_request::Start) {
        use watch_orders_request::Start::{Now, ResumeToken, Snapshot};
        match &self.token {
            Some(Token { of, bytes }) => (Start::Token { of: *of }, ResumeToken(bytes.clone().into())),
            None if !self.is_crowded && self.rng.random_bool(SNAPSHOTS) => {
                (Start::Snapshot, Snapshot(Default::default()))
            }
            None => (Start::Now, Now(Default::default())),
        }
    }
}

/// Records what a stream shows; true where it is more than a heartbeat.
fn see(clients: &Clients, stream: u64, token: &mut Option<Token>, response: WatchOrdersResponse) -> bool {
    use watch_orders_response::Event::{Current, Heartbeat, SnapshotComplete, Transition};
    let event = match response.event {
        Some(Transition(transition)) => Event::Transition { transition: shown::transition(&transition) },
        Some(Current(order)) => Event::Current { order: shown::order(&order) },
        Some(Heartbeat(heartbeat)) => Event::Heartbeat { version: heartbeat.version },
        Some(SnapshotComplete(_)) => Event::SnapshotComplete,
        None => return false,
    };
    let is_news = !matches!(event, Event::Heartbeat { .. });
    clients.recorder.record(What::Event { stream, event });
    // Only now: a stream that goes on from here has seen what the history says of this stream.
    if !response.resume_token.is_empty() {
        *token = Some(Token { of: stream, bytes: response.resume_token.to_vec() });
    }
    is_news
}
