//! An order, as it is shown and as it is kept.

use serde::{Deserialize, Serialize};

/// An order as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub order_id: String,
    pub number: i64,
    pub customer_id: String,
    pub digest: String,
    /// Currency, units and nanos, as `EUR 12.500000000`.
    pub total: String,
    pub item_count: i32,
    pub workflow: String,
    pub revision: i32,
    pub status: String,
    pub phase: String,
    pub version: i64,
    pub create_time_us: i64,
    pub status_time_us: i64,
    pub next_time_us: Option<i64>,
}

/// A transition, wherever it is shown or kept. `phase` and `trigger` in lower case without prefix: `active`, `timer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    pub order_id: String,
    pub version: i64,
    pub from: String,
    pub to: String,
    pub phase: String,
    pub time_us: i64,
    pub trigger: String,
    pub next_time_us: Option<i64>,
    /// When `from` was entered.
    pub from_time_us: Option<i64>,
    pub total: String,
    pub item_count: i32,
}

/// A row of `ordering.orders`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderRow {
    pub order_id: String,
    pub tenant: String,
    pub number: i64,
    pub customer_id: String,
    pub email: String,
    pub digest: String,
    pub total: String,
    pub item_count: i32,
    pub workflow: String,
    pub revision: i32,
    pub first_status: String,
    pub create_time_us: i64,
    /// When it is to start, where that is not at once.
    #[serde(default)]
    pub start_time_us: Option<i64>,
}
