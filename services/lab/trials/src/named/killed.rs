//! Processes are killed under load.

use comanda_checker::case::Fault;

use super::{
    facts::{Facts, back_s},
    goal::Goal,
    trial::{Plan, Terms, Trial, step},
};
use crate::{
    cluster::Role,
    nemesis::{Kind, Step},
    workload,
};

/// From one kill to the next.
const APART_MS: u64 = 22_000;
const FIRST_MS: u64 = 10_000;
/// Until a supervisor has a killed process started again.
const RESTART_MS: u64 = 1_000;
/// What begins within this time is one attack.
const TOGETHER_US: u64 = 1_000_000;
/// Longer than a lease lasts, so that the other replica has it then.
const LEASE_MS: u64 = 8_000;

/// The only process of each role.
pub const ALONE: Trial = Trial {
    name: "killed-alone",
    about: "The only process of each role is killed (SIGKILL) under load: orders and watchers are back after 20 s",
    plan: alone,
    act: None,
    goals: |facts| goals(facts, false),
};

/// One of two, leader and not.
pub const OF_TWO: Trial = Trial {
    name: "killed-of-two",
    about: "One of two processes of each role is killed, the leader and the other: clients hardly notice",
    plan: of_two,
    act: None,
    goals: |facts| goals(facts, true),
};

fn kill(at_ms: u64, lasts_ms: u64, role: Role, replica: usize) -> Step {
    step(at_ms, lasts_ms, Kind::RoleKilled(role), &[&format!("{}-{replica}", role.name())])
}

fn alone(terms: &Terms) -> Plan {
    let each = (0..terms.count(1)).flat_map(|_| Role::SERVERS).enumerate();
    plan(1, each.map(|(n, role)| kill(FIRST_MS + n as u64 * APART_MS, RESTART_MS, role, 0)).collect())
}

/// The first ones are away until the second ones surely lead; then the ones that do not lead are killed, one of each role, then the ones
/// that do.
fn of_two(terms: &Terms) -> Plan {
    let first = Role::SERVERS.map(|role| kill(FIRST_MS, LEASE_MS, role, 0));
    let rounds = (0..terms.count(1)).flat_map(|_| [0, 1]).enumerate();
    let then = rounds.flat_map(|(n, replica)| {
        let at_ms = FIRST_MS + (n as u64 + 1) * APART_MS;
        Role::SERVERS.map(|role| kill(at_ms, RESTART_MS, role, replica))
    });
    plan(2, first.into_iter().chain(then).collect())
}

fn plan(replicas: usize, faults: Vec<Step>) -> Plan {
    let workload = workload::Settings {
        // An even flow: what is missing is missed.
        batches: 0.0,
        moved: 0.0,
        boards: 8,
        ..Plan::default().workload
    };
    // As in production.
    let settings = vec![("COMANDA_KAFKA_CONFIG", "session.timeout.ms=15000".to_owned())];
    let length_ms = faults.last().map_or(0, |last| last.start_ms) + APART_MS + 5_000;
    Plan { roles: &Role::SERVERS, replicas, faults, workload, settings, length_ms, ..Plan::default() }
}

fn goals(facts: &Facts<'_>, has_others: bool) -> Vec<Goal> {
    let faults: Vec<&Fault<'_>> = facts.faults("killed").collect();
    let mut goals = vec![
        Goal::most(
            "s from a kill until orders are taken as before (worst)",
            worst(facts, &faults, &facts.accepted_us()),
            20.0,
        ),
        Goal::most(
            "s from a kill until transitions are shown as before (worst)",
            worst(facts, &faults, &shown(facts)),
            20.0,
        ),
    ];
    if has_others {
        let calls = facts.calls();
        let failed = || calls.iter().filter(|call| call.creates() && call.failed());
        let of_others = failed().filter(|call| {
            !faults.iter().any(|fault| {
                // Where the killed one is found again after that is for itself.
                fault.target == call.replica && call.sent_us < fault.to_us + 2_000_000 && call.done_us >= fault.from_us
            })
        });
        let late = failed().filter_map(|call| {
            let fault =
                faults.iter().rev().find(|fault| fault.target == call.replica && fault.from_us <= call.done_us)?;
            Some(call.done_us.saturating_sub(fault.to_us))
        });
        goals.push(Goal::none("creates that failed at a living process", of_others.count()));
        let late_s = late.max().unwrap_or_default() as f64 / 1e6;
        goals.push(Goal::most("s after its restart that creates still failed at the killed one", Some(late_s), 2.0));
    }
    goals
}

fn shown(facts: &Facts<'_>) -> Vec<u64> {
    super::facts::sorted(facts.shown_us().into_iter().map(|(at_us, _)| at_us))
}

/// The longest way back, each looked for until the next kill.
fn worst(facts: &Facts<'_>, faults: &[&Fault<'_>], events_us: &[u64]) -> Option<f64> {
    let end_us = facts.case.last_heal_us?;
    let each = faults.iter().map(|fault| {
        // Some are killed together.
        let later = faults.iter().map(|next| next.from_us).filter(|next| *next > fault.from_us + TOGETHER_US);
        back_s(events_us, fault, later.min().unwrap_or(end_us))
    });
    each.collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::max)
}
