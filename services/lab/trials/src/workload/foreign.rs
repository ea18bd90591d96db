//! Clients that try to reach what is another tenant's: it must be as if there were no such thing.

use std::{sync::Arc, time::Duration};

use comanda_checker::history::{Answer, Op};
use comanda_proto::v1::{
    AdvanceOrderRequest, CancelOrderRequest, GetOrderRequest, ListOrdersRequest, ListTransitionsRequest,
    WatchOrderRequest, WatchOrdersRequest, get_order_request::Key, watch_orders_request::Start,
};
use prost::Message;
use rand::{RngExt, rngs::StdRng};
use tonic::Status;
use uuid::Uuid;

use super::{calls::Patience, clients::Clients};
use crate::cluster::Role;

const PAUSE_MS: (u64, u64) = (50, 300);
/// How long the neighbours may take to hand out a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(3);

/// A client of one tenant that knows much of another.
pub(super) struct Foreigner {
    clients: Arc<Clients>,
    neighbours: Arc<Clients>,
    rng: StdRng,
}

/// A call that must be refused.
struct Foreign {
    role: Role,
    method: &'static str,
    what: &'static str,
    bytes: Vec<u8>,
}

impl Foreign {
    fn new(role: Role, method: &'static str, what: &'static str, message: &impl Message) -> Self {
        Self { role, method, what, bytes: message.encode_to_vec() }
    }
}

impl Foreigner {
    pub(super) fn new(clients: Arc<Clients>, neighbours: Arc<Clients>, rng: StdRng) -> Self {
        Self { clients, neighbours, rng }
    }

    /// Until nothing new is to be started.
    pub(super) async fn run(mut self) {
        loop {
            let pause = Duration::from_millis(self.rng.random_range(PAUSE_MS.0..=PAUSE_MS.1));
            if !self.clients.pause(pause).await {
                return;
            }
            if let Some(foreign) = self.draw().await {
                self.send(foreign).await;
            }
        }
    }

    /// None where the neighbours have nothing yet, or get no answer themselves.
    async fn draw(&mut self) -> Option<Foreign> {
        let order_id = self.neighbours.known.any(&mut self.rng)?.order_id;
        match self.rng.random_range(0..4) {
            0 => self.with_page_token().await.ok(),
            1 => self.with_resume_token().await.ok(),
            _ => Some(of_order(order_id, &mut self.rng)),
        }
    }

    async fn with_page_token(&mut self) -> Result<Foreign, Status> {
        let mut orders = self.neighbours.replicas.any(Role::Ordering, &mut self.rng).orders();
        let asked = ListOrdersRequest { page_size: 1, ..Default::default() };
        let page = within(orders.list_orders(asked.clone())).await?.into_inner();
        let asked = ListOrdersRequest { page_token: page.next_page_token, ..asked };
        if asked.page_token.is_empty() {
            return Err(Status::not_found("no further page"));
        }
        Ok(Foreign::new(Role::Ordering, "/comanda.v1.OrderService/ListOrders", "a page token", &asked))
    }

    async fn with_resume_token(&mut self) -> Result<Foreign, Status> {
        let mut watches = self.neighbours.replicas.any(Role::Notification, &mut self.rng).watches();
        let now = WatchOrdersRequest { start: Some(Start::Now(Default::default())), ..Default::default() };
        let mut stream = within(watches.watch_orders(now)).await?.into_inner();
        let first = within(stream.message()).await?.ok_or_else(|| Status::not_found("nothing shown"))?;
        let start = Some(Start::ResumeToken(first.resume_token));
        let asked = WatchOrdersRequest { start, ..Default::default() };
        Ok(Foreign::new(Role::Notification, "/comanda.v1.WatchService/WatchOrders", "a resume token", &asked))
    }

    async fn send(&mut self, foreign: Foreign) {
        let Foreign { role, method, what, bytes } = foreign;
        let way = self.clients.replicas.any(role, &mut self.rng);
        let op = Op::Foreign { what: format!("{what} of {} in {method}", self.neighbours.tenant.name) };
        let call = async {
            let refused = crate::raw::call(way.channel, method, way.tenant.request(bytes)).await;
            // What is foreign has no answer that a history could hold.
            refused.map(|_| Answer::History { transitions: Vec::new() })
        };
        let patience = Patience::wait(&self.clients.settings, &mut self.rng);
        self.clients.call("foreigner", &way.replica, op, patience, call).await;
    }
}

fn of_order(order_id: String, rng: &mut StdRng) -> Foreign {
    let request_id = Uuid::new_v4().to_string();
    match rng.random_range(0..5) {
        0 => {
            let message = GetOrderRequest { key: Some(Key::OrderId(order_id)), ..Default::default() };
            Foreign::new(Role::Ordering, "/comanda.v1.OrderService/GetOrder", "an order", &message)
        }
        1 => {
            let message = ListTransitionsRequest { order_id, ..Default::default() };
            Foreign::new(Role::StateMachine, "/comanda.v1.LifecycleService/ListTransitions", "an order", &message)
        }
        2 => {
            let message = AdvanceOrderRequest { order_id, request_id, ..Default::default() };
            Foreign::new(Role::StateMachine, "/comanda.v1.LifecycleService/AdvanceOrder", "an order", &message)
        }
        3 => {
            let message = CancelOrderRequest { order_id, request_id, ..Default::default() };
            Foreign::new(Role::StateMachine, "/comanda.v1.LifecycleService/CancelOrder", "an order", &message)
        }
        _ => {
            let message = WatchOrderRequest { order_id, ..Default::default() };
            Foreign::new(Role::Notification, "/comanda.v1.WatchService/WatchOrder", "an order", &message)
        }
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let timed_out = |_| Status::deadline_exceeded("no answer in time");
    tokio::time::timeout(TOKEN_TIMEOUT, call).await.map_err(timed_out)?
}
