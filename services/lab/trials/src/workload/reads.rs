//! Clients that look orders up.

use std::sync::Arc;

use comanda_checker::history::{Answer, Op, Order};
use comanda_proto::v1::{GetOrderRequest, ListTransitionsRequest, get_order_request::Key};
use rand::{RngExt, rngs::StdRng};
use tonic::Status;

use super::{
    calls::Patience,
    clients::{Clients, KnownOrder},
    entry::Entry,
    shown,
};
use crate::cluster::Role;

/// More pages than any order has: a list that does not end is a fault.
const MOST_PAGES: usize = 100;

/// Looks at a known order once: as it is, or at its history.
pub(super) async fn read(clients: Arc<Clients>, name: String, mut rng: StdRng) {
    let Some(order) = clients.known.any(&mut rng) else { return };
    let KnownOrder { order_id, number, .. } = order;
    if rng.random_bool(0.5) {
        history(&clients, &name, order_id, &mut rng).await;
    } else if rng.random_bool(0.2) {
        get_by(&clients, &name, order_id, Key::Number(number), &mut rng).await;
    } else {
        get_by(&clients, &name, order_id.clone(), Key::OrderId(order_id), &mut rng).await;
    }
}

/// Looks at an order as it is.
pub(super) async fn get(clients: &Clients, name: &str, order: &Order, rng: &mut StdRng) -> Option<Answer> {
    let order_id = order.order_id.clone();
    get_by(clients, name, order_id.clone(), Key::OrderId(order_id), rng).await
}

async fn get_by(clients: &Clients, name: &str, order_id: String, key: Key, rng: &mut StdRng) -> Option<Answer> {
    let entry = clients.entry(clients.goes_by_http(rng), Role::Ordering, rng);
    let patience = Patience::draw(&clients.settings, rng);
    let call = async {
        let response = entry.get_order(GetOrderRequest { key: Some(key), ..Default::default() }).await?;
        let order = response.order.ok_or_else(|| Status::internal("OK without an order"))?;
        Ok(Answer::Order { order: shown::order(&order) })
    };
    clients.call(name, entry.replica(), Op::Get { order_id }, patience, call).await.answer
}

async fn history(clients: &Clients, name: &str, order_id: String, rng: &mut StdRng) {
    let entry = clients.entry(clients.goes_by_http(rng), Role::StateMachine, rng);
    let patience = Patience::draw(&clients.settings, rng);
    let page_size = if rng.random_bool(0.5) { rng.random_range(1..=3) } else { 0 };
    let call = pages(&entry, order_id.clone(), page_size);
    clients.call(name, entry.replica(), Op::History { order_id }, patience, call).await;
}

async fn pages(entry: &Entry, order_id: String, page_size: i32) -> Result<Answer, Status> {
    let (mut transitions, mut page_token) = (Vec::new(), String::new());
    for _ in 0..MOST_PAGES {
        let request = ListTransitionsRequest { order_id: order_id.clone(), page_size, page_token };
        let response = entry.list_transitions(request).await?;
        transitions.extend(response.transitions.iter().map(shown::transition));
        page_token = response.next_page_token;
        if page_token.is_empty() {
            return Ok(Answer::History { transitions });
        }
    }
    Err(Status::data_loss("the list of transitions does not end"))
}
