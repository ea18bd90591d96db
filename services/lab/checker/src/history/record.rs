//! What is on the topics.

use serde::{Deserialize, Serialize};

use super::{courier::AssignmentEvent, order::Transition};

/// A topic of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    Orders,
    Transitions,
    Assignments,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "content", rename_all = "snake_case")]
pub enum RecordContent {
    Placed {
        order_id: String,
        tenant: String,
        number: i64,
        customer_id: String,
        workflow: String,
        revision: i32,
        status: String,
        create_time_us: i64,
        total: String,
        item_count: i32,
    },
    Transition {
        tenant: String,
        transition: Transition,
    },
    Assignment {
        event: AssignmentEvent,
    },
    /// A record that the run itself put there: garbage, on purpose.
    Planted,
    /// Bytes that are neither.
    Unreadable {
        why: String,
    },
}
