//! Where streams begin, and what they show.

use serde::{Deserialize, Serialize};

use super::{
    courier::Job,
    order::{Order, Transition},
};

/// Where a stream of many orders starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "start", rename_all = "snake_case")]
pub enum Start {
    Snapshot,
    Now,
    /// With the last token that stream `of` showed.
    Token {
        of: u64,
    },
}

/// What a stream shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Transition {
        transition: Transition,
    },
    Current {
        order: Order,
    },
    Heartbeat {
        version: i64,
    },
    SnapshotComplete,
    /// The courier of an order; `attempt` 0 where it has none any more.
    Courier {
        attempt: i32,
        has_position: bool,
    },
    /// All that a courier has to do.
    Jobs {
        revision: i64,
        jobs: Vec<Job>,
    },
}
