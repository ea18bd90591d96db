//! Rows become visible in another order than they were written in.

use super::{
    goal::Goal,
    trial::{Plan, Trial, step},
};
use crate::{
    cluster::Class,
    nemesis::{Hurt, Kind},
    workload,
};

/// How long a link is as slow as it is.
const EACH_MS: u64 = 4_000;

/// Replicas that commit late, and differ in how late.
pub const LATE: Trial = Trial {
    name: "late-commits",
    about: "Three ordering and state-machine replicas commit late, each as late as chance has it: the topics stay in order",
    plan: |terms| {
        let targets =
            ["ordering-0", "ordering-1", "ordering-2", "state-machine-0", "state-machine-1", "state-machine-2"];
        let at = |n: u64| {
            targets.iter().enumerate().filter(move |(place, _)| !(n + *place as u64).is_multiple_of(3)).map(
                move |(place, target)| {
                    // Each with a seed of its own, so that each differs in how slow it is.
                    let start_ms = 2_000 + n * (EACH_MS + 600) + place as u64;
                    step(start_ms, EACH_MS, Kind::Link(Class::Postgres, Hurt::Slow), &[*target])
                },
            )
        };
        Plan {
            replicas: 3,
            faults: (0..terms.count(12)).flat_map(at).collect(),
            workload: workload::Settings { orders_per_second: 80.0, moved: 0.6, ..Plan::default().workload },
            ..Plan::default()
        }
    },
    act: None,
    goals: |facts| vec![Goal::most("percent of the records that repeat others", Some(facts.repeated_percent()), 1.0)],
};
