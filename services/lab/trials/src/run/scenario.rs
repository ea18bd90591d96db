//! What a run consists of.

use std::time::Duration;

use comanda_checker::history::Run;

use crate::{
    cluster::{Shape, version},
    nemesis::Step,
    workload,
};

/// A run, before it begins: a cluster, clients, faults, and what it must contain to count.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `quick`, `random`, or the name of a trial.
    pub name: String,
    /// Of the clients and the mail server; the cluster's and the faults' own were made of it.
    pub seed: u64,
    /// The system.
    pub shape: Shape,
    /// The clients.
    pub workload: workload::Settings,
    /// What is done to the system.
    pub faults: Vec<Step>,
    /// How long clients ask at least; they also do so until the last fault is healed.
    pub length: Duration,
    /// What it must contain to count.
    pub least: Least,
    /// Within this time of the last heal everything must have come to rest.
    pub drain: Duration,
    /// So long may nothing change before the run is called stuck.
    pub patience: Duration,
    /// No process of the system may become larger.
    pub most_rss_bytes: u64,
    /// The command that does it all again.
    pub replay: String,
}

/// What a run must contain to count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least {
    /// Accepted orders.
    pub orders: u64,
    /// Faults.
    pub faults: u64,
    /// Kinds of fault.
    pub kinds: u64,
    /// Commands that moved an order.
    pub moves: u64,
    /// Transitions that streams showed.
    pub shown: u64,
    /// Jobs of couriers that were completed.
    pub jobs: u64,
}

impl Scenario {
    /// The first line of its history.
    pub fn run(&self) -> Run {
        Run {
            seed: self.seed,
            profile: self.name.clone(),
            commit: version(&self.shape.binary),
            least_orders: self.least.orders,
            least_faults: self.least.faults,
            least_fault_kinds: self.least.kinds,
            least_moves: self.least.moves,
            least_shown: self.least.shown,
            least_jobs: self.least.jobs,
            drain_ms: self.drain.as_millis() as u64,
            most_rss_bytes: self.most_rss_bytes,
            mails: true,
            step_us: i64::try_from(self.shape.step_ms * 1000).ok(),
        }
    }
}
