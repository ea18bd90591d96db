//! Clients that create orders.

use std::{collections::BTreeSet, sync::Arc};

use comanda_checker::history::{Answer, BatchResult, Op, Order};
use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, CreateOrderRequest,
    batch_create_orders_response::result::Outcome,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tonic::{Code, Status};

use super::{
    calls::{Attempt, Patience, Tries},
    clients::Clients,
    content, shown,
};
use crate::cluster::Role;

/// How often a request is sent twice at the same time.
const TWINS: f64 = 0.05;
/// How often the second of them differs.
const UNLIKE_TWINS: f64 = 0.3;
/// How often an answered request is sent again, and how often a changed one under its id.
const REPEATS: f64 = 0.1;
const CHANGES: f64 = 0.03;
/// How often a batch holds a row twice.
const DOUBLE_ROWS: f64 = 0.1;

/// A client that creates orders, and knows what it was told about them.
pub(super) struct Creator {
    pub(super) clients: Arc<Clients>,
    pub(super) name: String,
    pub(super) rng: StdRng,
}

impl Creator {
    /// Creates one order, or several with one call, and returns those that were answered OK.
    pub(super) async fn create(&mut self, orders: usize) -> Vec<Order> {
        let mut requests: Vec<_> =
            (0..orders).map(|_| content::order(self.clients.settings.rides, &mut self.rng)).collect();
        match requests.pop() {
            Some(request) if requests.is_empty() => self.single(request).await.into_iter().collect(),
            last => self.batch(requests.into_iter().chain(last).collect()).await,
        }
    }

    async fn single(&mut self, request: CreateOrderRequest) -> Option<Order> {
        let has_request_id = !request.request_id.is_empty();
        let mut attempt = if has_request_id && self.rng.random_bool(TWINS) {
            self.twins(&request).await
        } else {
            self.send(&request).await
        };
        let mut tries = Tries::default();
        while attempt.may_be_repeated(has_request_id) && tries.next(&mut self.rng).await {
            attempt = self.send(&request).await;
        }
        if attempt.is_ok() && has_request_id {
            self.send_again(&request).await;
        }
        match attempt.answer? {
            Answer::Created { order, .. } => Some(order),
            _ => None,
        }
    }

    /// The same request twice at once, or nearly the same; returns what became of the one that was answered, if any was.
    async fn twins(&mut self, request: &CreateOrderRequest) -> Attempt {
        let is_unlike = self.rng.random_bool(UNLIKE_TWINS);
        let twin = if is_unlike { content::changed(request, &mut self.rng) } else { request.clone() };
        let (mut one, mut other) = (self.fork(), self.fork());
        let (one, other) = tokio::join!(one.send(request), other.send(&twin));
        if other.is_ok() { other } else { one }
    }

    /// What has been answered may be asked again; the same id with another content may not.
    async fn send_again(&mut self, request: &CreateOrderRequest) {
        if self.rng.random_bool(REPEATS) {
            self.send(request).await;
        }
        if self.rng.random_bool(CHANGES) {
            let changed = content::changed(request, &mut self.rng);
            self.send(&changed).await;
        }
    }

    async fn batch(&mut self, mut rows: Vec<CreateOrderRequest>) -> Vec<Order> {
        if self.rng.random_bool(DOUBLE_ROWS) {
            rows.extend(rows.iter().find(|row| !row.request_id.is_empty()).cloned());
        }
        let (mut created, mut tries) = (Vec::new(), Tries::default());
        self.send_rows(&mut rows, &mut created).await;
        while !rows.is_empty() && tries.next(&mut self.rng).await {
            self.send_rows(&mut rows, &mut created).await;
        }
        let mut told = BTreeSet::new();
        created.retain(|order| told.insert(order.order_id.clone()));
        created
    }

    /// Sends rows, leaves those that may be sent again, and adds the orders of the others.
    async fn send_rows(&mut self, rows: &mut Vec<CreateOrderRequest>, created: &mut Vec<Order>) {
        let way = self.clients.replicas.any(Role::Ordering, &mut self.rng);
        let op = Op::CreateBatch { orders: rows.iter().map(content::asked).collect() };
        let patience = Patience::draw(&self.clients.settings, &mut self.rng);
        let request = BatchCreateOrdersRequest { requests: rows.clone() };
        let call = async { Ok(batch_answer(way.orders().batch_create_orders(request).await?.into_inner())) };
        let attempt = self.clients.call(&self.name, &way.replica, op, patience, call).await;
        match attempt.answer {
            Some(Answer::Batch { results }) => {
                let mut codes = results.iter().map(|result| shown::named(&result.code));
                rows.retain(|row| codes.next().is_some_and(|code| may_be_sent_again(row, code)));
                created.extend(results.into_iter().filter_map(|result| result.order));
            }
            _ => rows.retain(|row| may_be_sent_again(row, attempt.code)),
        }
    }

    async fn send(&mut self, request: &CreateOrderRequest) -> Attempt {
        let by_http = self.clients.goes_by_http(&mut self.rng);
        let entry = self.clients.entry(by_http, Role::Ordering, &mut self.rng);
        let patience = Patience::draw(&self.clients.settings, &mut self.rng);
        let call = async {
            let response = entry.create_order(request.clone()).await?;
            let order = response.order.ok_or_else(|| Status::internal("OK without an order"))?;
            Ok(Answer::Created { order: shown::order(&order), replayed: response.replayed })
        };
        self.clients.call(&self.name, entry.replica(), Op::Create(content::asked(request)), patience, call).await
    }

    /// The same client, doing something else at the same time.
    fn fork(&mut self) -> Self {
        Self { clients: self.clients.clone(), name: self.name.clone(), rng: StdRng::from_rng(&mut self.rng) }
    }
}

fn may_be_sent_again(row: &CreateOrderRequest, code: Code) -> bool {
    Attempt::refused(code).may_be_repeated(!row.request_id.is_empty())
}

fn batch_answer(response: BatchCreateOrdersResponse) -> Answer {
    let results = response.results.into_iter().map(|result| match result.outcome {
        Some(Outcome::Created(created)) => BatchResult {
            code: shown::name(Code::Ok).into(),
            order: created.order.as_ref().map(shown::order),
            replayed: created.replayed,
        },
        Some(Outcome::Error(error)) => refused(Code::from_i32(error.code)),
        None => refused(Code::Unknown),
    });
    Answer::Batch { results: results.collect() }
}

fn refused(code: Code) -> BatchResult {
    BatchResult { code: shown::name(code).into(), order: None, replayed: false }
}
