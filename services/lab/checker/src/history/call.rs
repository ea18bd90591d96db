//! What clients ask, and what they are answered.

use serde::{Deserialize, Serialize};

use super::{
    courier::CourierAction,
    order::{Order, Transition},
};

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// `CreateOrder`
    Create(NewOrder),
    /// `BatchCreateOrders`
    CreateBatch { orders: Vec<NewOrder> },
    /// `AdvanceOrder`, `CancelOrder`, `RejectOrder`: `trigger` is `advance`, `cancel` or `reject`
    Move {
        trigger: String,
        order_id: String,
        request_id: Option<String>,
        expected_version: Option<i64>,
        to_status: Option<String>,
    },
    /// `GetOrder`
    Get { order_id: String },
    /// `ListTransitions`, all pages
    History { order_id: String },
    /// A call to dispatch. `attempt` is 0, and `order_id` empty, where it concerns no assignment.
    Courier { action: CourierAction, courier_id: String, order_id: String, attempt: i32 },
    /// A call that must be refused, or bytes that are no call at all.
    Bad { what: String, is_protobuf: bool },
    /// A call that names what is another tenant's, or that shows a key which was revoked long enough ago.
    Foreign { what: String },
}

/// An order as a client asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewOrder {
    pub request_id: Option<String>,
    pub customer_id: String,
    pub email: String,
    pub workflow: String,
    /// A digest of customer, items and labels, made alike of requests, answers and rows.
    pub digest: String,
}

/// The content of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Created {
        order: Order,
        replayed: bool,
    },
    /// One for each order of the batch, in its order.
    Batch {
        results: Vec<BatchResult>,
    },
    Moved {
        transition: Transition,
        replayed: bool,
    },
    Order {
        order: Order,
    },
    History {
        transitions: Vec<Transition>,
    },
    /// Of dispatch: what became of an assignment.
    Assignment {
        attempt: i32,
        courier_id: String,
        state: String,
        replayed: bool,
    },
    /// Of dispatch, where no assignment is shown. `taken` is false where a position was dropped.
    Courier {
        taken: bool,
    },
}

/// What became of one order of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchResult {
    pub code: String,
    pub order: Option<Order>,
    pub replayed: bool,
}
