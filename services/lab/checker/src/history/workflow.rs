//! The lifecycles that orders follow.

use serde::{Deserialize, Serialize};

use super::courier::Dispatch;

/// A lifecycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    pub name: String,
    pub revision: i32,
    pub statuses: Vec<Status>,
    pub edges: Vec<Edge>,
    #[serde(default)]
    pub dispatch: Option<Dispatch>,
}

/// A status of a lifecycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub name: String,
    pub phase: String,
    /// Whether reaching it is told by mail.
    pub mail: bool,
}

/// A way from one status to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    pub from: String,
    pub to: String,
    pub trigger: String,
    pub delay_us: i64,
    /// The delay begins at the order's start time, where that is later.
    #[serde(default)]
    pub after_start: bool,
}
