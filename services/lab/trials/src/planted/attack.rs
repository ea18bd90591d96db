//! The run that brings a bug out.

use std::{path::Path, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::bug::{Bug, Fault};
use crate::{
    cluster::Shape,
    nemesis::Step,
    run::{Least, Scenario},
    workload,
};

/// How long clients ask. Enough for every fault of an attack and for what it leaves behind.
const LENGTH: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(60);
/// Shorter than elsewhere: here hanging is what is expected, and no fault lasts so long.
const PATIENCE: Duration = Duration::from_secs(15);
const RATE: f64 = 30.0;
const PARTITIONS: i32 = 6;
const MOST_RSS_BYTES: u64 = 512 * 1024 * 1024;

/// The attack on a bug, which is active in it unless this is the control.
pub fn scenario(bug: &Bug, active: bool, binary: &Path, seed: u64, replay: String) -> Scenario {
    let mut random = StdRng::seed_from_u64(seed);
    let shape = Shape {
        brokers: 1,
        roles: bug.roles,
        replicas: bug.replicas,
        gateways: bug.gateways,
        tenants: bug.tenants,
        partitions: PARTITIONS,
        step_ms: bug.step_ms,
        binary: binary.into(),
        seed: random.random(),
        settings: settings(bug, active),
    };
    let mut workload = workload::Settings { orders_per_second: RATE, ..workload::Settings::default() };
    (bug.workload)(&mut workload);
    Scenario {
        name: bug.name.into(),
        seed,
        shape,
        workload,
        faults: bug.faults.iter().map(|fault| step(fault, random.random())).collect(),
        length: LENGTH,
        least: Least { orders: 200, faults: bug.faults.len() as u64, ..Least::default() },
        drain: DRAIN,
        patience: PATIENCE,
        most_rss_bytes: MOST_RSS_BYTES,
        replay,
    }
}

fn settings(bug: &Bug, active: bool) -> Vec<(String, String)> {
    let active = active.then_some(("COMANDA_PLANTED", bug.name));
    bug.settings.iter().copied().chain(active).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn step(&Fault(start_ms, lasts_ms, kind, targets): &Fault, seed: u64) -> Step {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    Step { start_ms, lasts_ms, kind, targets, seed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::BUGS;

    #[test]
    fn every_fault_is_over_before_the_clients_end_and_begins_in_order() {
        for bug in BUGS {
            let steps = scenario(&bug, true, Path::new("comanda"), 1, String::new()).faults;
            assert!(steps.iter().all(|step| step.end_ms() <= LENGTH.as_millis() as u64), "{}", bug.name);
            assert!(steps.is_sorted_by_key(|step| step.start_ms), "{}", bug.name);
        }
    }

    /// The end of one fault would mend the other.
    #[test]
    fn no_two_faults_hold_one_thing_at_once() {
        for bug in BUGS {
            let steps = scenario(&bug, true, Path::new("comanda"), 1, String::new()).faults;
            for (one, other) in steps.iter().zip(steps.iter().skip(1)) {
                let shared = other.claims().iter().any(|claim| one.claims().contains(claim));
                assert!(!shared || one.end_ms() <= other.start_ms, "{}: {one:?} and {other:?}", bug.name);
            }
        }
    }

    #[test]
    fn the_control_differs_by_the_bug_alone() {
        for bug in BUGS {
            let [with, without] = [true, false].map(|active| settings(&bug, active));
            assert_eq!(with[..without.len()], without);
            assert_eq!(with.last(), Some(&("COMANDA_PLANTED".to_owned(), bug.name.to_owned())));
        }
    }
}
