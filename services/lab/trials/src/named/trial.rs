//! What a named trial consists of.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use futures::future::LocalBoxFuture;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{facts::Facts, goal::Goal};
use crate::{
    cluster::{Role, Shape},
    nemesis::{Field, Kind, Step},
    run::{Least, Scenario},
    workload,
};

/// Few, so that each has much traffic.
const PARTITIONS: i32 = 6;
/// Of a process of the system.
const MOST_RSS_BYTES: u64 = 512 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(90);
/// The share of orders that are rides, and the number of couriers, where dispatch runs.
const RIDES: f64 = 0.05;
const COURIERS: usize = 6;

/// An attack that is always the same, with goals beside the checker's verdict.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// As on the command line.
    pub name: &'static str,
    /// What is done and what is expected, in a sentence.
    pub about: &'static str,
    /// What it is made of.
    pub plan: fn(&Terms) -> Plan,
    /// What is done beside clients and faults.
    pub act: Option<Act>,
    /// What must have come out.
    pub goals: fn(&Facts<'_>) -> Vec<Goal>,
}

/// Something that is done while clients are at work. An error means that the trial could not be made.
pub type Act = fn(Arc<Field>, Terms) -> LocalBoxFuture<'static, Result<()>>;

/// On what terms a trial is made.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Times and counts are multiplied by this.
    pub scale: f64,
    /// Of all that is random.
    pub seed: u64,
    /// The program that is attacked.
    pub program: PathBuf,
    /// An older one, where a trial is about replacing it.
    pub old_program: PathBuf,
}

impl Terms {
    /// A time in milliseconds, scaled.
    pub fn ms(&self, ms: u64) -> u64 {
        (ms as f64 * self.scale).round() as u64
    }

    /// A count, scaled; one at least.
    pub fn count(&self, count: u64) -> u64 {
        ((count as f64 * self.scale).round() as u64).max(1)
    }
}

/// What a trial chooses of its run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// 1 or 3.
    pub brokers: usize,
    /// The roles that run. With all of them there are rides, too.
    pub roles: &'static [Role],
    /// Processes of each of them.
    pub replicas: usize,
    /// What the cluster starts with, where that is not the program that is attacked.
    pub program: Option<PathBuf>,
    /// How long an order stays in each status.
    pub step_ms: u64,
    /// Environment of every role.
    pub settings: Vec<(&'static str, String)>,
    /// The clients.
    pub workload: workload::Settings,
    /// What is done to the system; times count from when clients have been at work for 5 s.
    pub faults: Vec<Step>,
    /// How long clients are at work at least.
    pub length_ms: u64,
    /// Within this time of the clients' end everything must have come to rest.
    pub drain_ms: u64,
}

impl Default for Plan {
    fn default() -> Self {
        let workload = workload::Settings { bad_calls: 0.0, ..workload::Settings::default() };
        Self {
            brokers: 1,
            roles: &Role::NEEDED,
            replicas: 2,
            program: None,
            step_ms: 1000,
            settings: Vec::new(),
            workload,
            faults: Vec::new(),
            length_ms: 0,
            drain_ms: 60_000,
        }
    }
}

impl Plan {
    /// The run of it.
    pub fn scenario(self, trial: &Trial, terms: &Terms) -> Scenario {
        let mut random = StdRng::seed_from_u64(terms.seed);
        let (rides, couriers) = if self.roles.contains(&Role::Dispatch) { (RIDES, COURIERS) } else { (0.0, 0) };
        // Some are about clients alone, some make theirs by themselves.
        let faults = self.faults.len().max(usize::from(trial.act.is_some())) as u64;
        let shape = Shape {
            brokers: self.brokers,
            roles: self.roles,
            replicas: self.replicas,
            gateways: 0,
            tenants: 1,
            partitions: PARTITIONS,
            step_ms: self.step_ms,
            binary: self.program.unwrap_or_else(|| terms.program.clone()),
            seed: random.random(),
            settings: self.settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        Scenario {
            name: trial.name.into(),
            seed: terms.seed,
            shape,
            workload: workload::Settings { rides, couriers, ..self.workload },
            least: Least { orders: 50, faults, ..Least::default() },
            faults: self.faults,
            length: Duration::from_millis(self.length_ms),
            drain: Duration::from_millis(self.drain_ms),
            patience: PATIENCE,
            most_rss_bytes: MOST_RSS_BYTES,
            replay: format!("scripts/trials named {} --seed {} --scale {}", trial.name, terms.seed, terms.scale),
        }
    }
}

/// A fault at a time, for so long, on these processes.
pub fn step(start_ms: u64, lasts_ms: u64, kind: Kind, targets: &[&str]) -> Step {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    Step { start_ms, lasts_ms, kind, targets, seed: start_ms }
}

/// The processes of a role.
pub fn replicas(role: Role, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{}-{n}", role.name())).collect()
}
