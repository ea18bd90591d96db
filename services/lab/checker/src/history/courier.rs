//! What a history tells of couriers, of who has which order, and of the reports about both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which statuses of a workflow ask for a courier, and which ones dispatch enters; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    pub wanted_in: Vec<String>,
    pub allotted: String,
    pub arriving: String,
    pub picked_up: String,
    pub completed: String,
    pub given_up: String,
    pub withdrawn: String,
}

impl Dispatch {
    /// Whether the order has a courier while it is in this status.
    pub fn is_served(&self, status: &str) -> bool {
        !status.is_empty() && [&self.allotted, &self.arriving, &self.picked_up].iter().any(|served| *served == status)
    }
}

/// What a courier, or somebody for it, asks of dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CourierAction {
    /// `RegisterCourier`
    Register,
    /// `SetCourierStatus` to available
    GoOnline,
    /// `SetCourierStatus` to offline
    GoOffline,
    /// `ReportLocation`
    Locate,
    /// `AcceptOffer`
    Accept,
    /// `DeclineOffer`
    Decline,
    /// `WithdrawAssignment`
    Withdraw,
    /// `MarkArrived`
    Arrive,
    /// `MarkPickedUp`
    PickUp,
    /// `CompleteAssignment`
    Complete,
    /// `AssignOrder`
    Assign,
}

/// A job as WatchCourier shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub order_id: String,
    pub attempt: i32,
    /// `offered`, `active` or `ended`.
    pub state: String,
    pub confirmed: bool,
}

/// A row of `dispatch.couriers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CourierRow {
    pub tenant: String,
    pub courier_id: String,
    pub capacity: i32,
    /// `offline`, `available` or `paused`.
    pub status: String,
}

/// A row of `dispatch.jobs`. States: 1 held, 2 waiting, 3 taken, 4 done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    pub order_id: String,
    pub tenant: String,
    pub state: i32,
    pub order_version: i64,
    pub event_version: i64,
}

/// A row of `dispatch.assignments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssignmentRow {
    pub order_id: String,
    pub attempt: i32,
    pub tenant: String,
    pub courier_id: String,
    pub slot: i32,
    /// `offered`, `active` or `ended`.
    pub state: String,
    /// `unspecified` while it is open.
    pub outcome: String,
    pub create_time_us: i64,
    pub allot_time_us: Option<i64>,
    pub confirm_time_us: Option<i64>,
    pub pickup_time_us: Option<i64>,
    pub end_time_us: Option<i64>,
}

/// An event of an order's assignments, wherever it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssignmentEvent {
    pub order_id: String,
    pub version: i64,
    pub tenant: String,
    /// The type in lower case without its prefix: `allotted`, `released`.
    pub event: String,
    pub time_us: i64,
    pub attempt: i32,
    pub courier_id: String,
    pub workflow: String,
    pub step: Option<Step>,
    pub promised_pickup_time_us: Option<i64>,
    pub allot_time_us: Option<i64>,
    pub pickup_time_us: Option<i64>,
    pub idle_us: Option<i64>,
}

/// A step that the state machine is to take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub to: String,
    pub expected_version: i64,
    pub request_id: String,
}

/// A row of a report of analytics over the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportRow {
    pub tenant: String,
    pub report: Report,
    /// What identifies the row within its report: workflow, status, currency or courier.
    pub key: Vec<String>,
    /// By the name of the API's field; durations in microseconds, as `*_us`, money as units and nanos.
    pub values: BTreeMap<String, i64>,
}

/// A report of analytics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    Orders,
    Dwell,
    Rates,
    Revenue,
    Couriers,
}
