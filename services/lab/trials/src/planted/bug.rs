//! A bug that can be planted, and the attack that brings it out.

use comanda_checker::Invariant;

use crate::{cluster::Role, nemesis::Kind, workload::Settings};

/// A bug, and the attack that brings it out.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// As the system knows it.
    pub name: &'static str,
    /// What the system does wrong.
    pub wrong: &'static str,
    /// What must see it.
    pub caught_by: Invariant,
    /// The roles that run.
    pub roles: &'static [Role],
    /// Processes of each of them.
    pub replicas: usize,
    /// Gateways before them.
    pub gateways: usize,
    /// Tenants whose clients there are.
    pub tenants: usize,
    /// How long an order stays in each status, in milliseconds.
    pub step_ms: u64,
    /// Further environment of every role.
    pub settings: &'static [(&'static str, &'static str)],
    /// What clients do otherwise than usually.
    pub workload: fn(&mut Settings),
    /// What is done to the system.
    pub faults: &'static [Fault],
}

/// A fault of an attack: from when on and for how long, in milliseconds, and whom it hits.
#[derive(Clone, Copy, Debug)]
pub struct Fault(pub u64, pub u64, pub Kind, pub &'static [&'static str]);

impl Bug {
    /// The bugs whose attacks differ: a control that makes one of several equal attacks makes all of them.
    pub fn with_different_attacks(bugs: Vec<Self>) -> Vec<Self> {
        let mut different: Vec<Self> = Vec::new();
        for bug in bugs {
            if !different.iter().any(|other| other.attacks_like(&bug)) {
                different.push(bug);
            }
        }
        different
    }

    fn attacks_like(&self, other: &Self) -> bool {
        let workload = |bug: &Self| {
            let mut settings = Settings::default();
            (bug.workload)(&mut settings);
            let Self { settings: environment, roles, replicas, gateways, tenants, step_ms, faults, .. } = bug;
            format!("{settings:?} {environment:?} {roles:?} {replicas} {gateways} {tenants} {step_ms} {faults:?}")
        };
        workload(self) == workload(other)
    }
}
