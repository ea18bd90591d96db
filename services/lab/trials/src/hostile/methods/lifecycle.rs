//! The calls of the state machine.

use comanda_proto::v1::{
    AdvanceOrderRequest, CancelOrderRequest, GetWorkflowRequest, ListTransitionsRequest, ListWorkflowsRequest,
    RejectOrderRequest,
};
use prost::Message;
use rand::{RngExt, rngs::StdRng};

use super::{
    LIFECYCLE, Method, method,
    values::{id, number, number32, text, token},
};

pub(super) const METHODS: [Method; 6] = [
    method::<AdvanceOrderRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/AdvanceOrder", |rng| {
        advance(rng).encode_to_vec()
    }),
    method::<CancelOrderRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/CancelOrder", cancel),
    method::<RejectOrderRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/RejectOrder", cancel),
    method::<ListTransitionsRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/ListTransitions", history),
    method::<ListWorkflowsRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/ListWorkflows", workflows),
    method::<GetWorkflowRequest>(LIFECYCLE, "/comanda.v1.LifecycleService/GetWorkflow", workflow),
];

fn advance(rng: &mut StdRng) -> AdvanceOrderRequest {
    AdvanceOrderRequest {
        order_id: id(rng),
        request_id: id(rng),
        expected_version: number(rng),
        to_status: text(rng),
        reason: text(rng),
    }
}

/// RejectOrder's has the same fields.
fn cancel(rng: &mut StdRng) -> Vec<u8> {
    let AdvanceOrderRequest { order_id, request_id, expected_version, reason, .. } = advance(rng);
    CancelOrderRequest { order_id, request_id, expected_version, reason }.encode_to_vec()
}

fn history(rng: &mut StdRng) -> Vec<u8> {
    let order_id = id(rng);
    let page_token = token(&order_id, rng);
    ListTransitionsRequest { order_id, page_size: number32(rng), page_token }.encode_to_vec()
}

fn workflows(rng: &mut StdRng) -> Vec<u8> {
    ListWorkflowsRequest { page_size: number32(rng), page_token: token(&String::new(), rng) }.encode_to_vec()
}

fn workflow(rng: &mut StdRng) -> Vec<u8> {
    let name = if rng.random_bool(0.5) { "delivery".into() } else { text(rng) };
    GetWorkflowRequest { name, revision: number32(rng) }.encode_to_vec()
}
