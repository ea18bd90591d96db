//! The bugs that can be planted: where each lies, what brings it out, and which invariant must see it.

use comanda_checker::Invariant::{
    C3Idempotent, C4Chain, C5LogOrder, C6Timers, C7Watch, C8Mail, C10Tenants, C11Liveness, C13Dispatch, C14Analytics,
};

use super::bug::{Bug, Fault};
use crate::{
    cluster::{
        Class::{Kafka, Postgres, Smtp},
        Role::{self, Analytics, Gateway, Notification, Ordering, StateMachine},
    },
    nemesis::{
        Hurt::{Dead, Refusing, Reset, Slow},
        Kind::{BrokerFrozen, BrokerKilled, Link, Mail, RoleFrozen, RoleKilled, TopicsLost},
        Trouble::{CutsBeforeDot, HangsUp},
    },
    workload::Settings,
};

/// Where nothing else is said.
const PLAIN: Bug = Bug {
    name: "",
    wrong: "",
    caught_by: C11Liveness,
    roles: &Role::NEEDED,
    replicas: 1,
    gateways: 0,
    tenants: 1,
    step_ms: 1000,
    settings: &[],
    workload: |_| {},
    faults: &[],
};

/// All of them.
pub const BUGS: [Bug; 26] = [
    Bug {
        name: "offset-before-effect",
        wrong: "a consumer stores its offsets before it has applied the records",
        // No client moves an order, which would make up for what the consumer lost.
        workload: |settings| settings.moved = 0.0,
        faults: &[
            // Not `Dead`: what was sent before the kill would still reach Postgres when the link is back.
            Fault(1_000, 5_000, Link(Postgres, Refusing), &["state-machine-0"]),
            Fault(4_000, 1_000, RoleKilled(StateMachine), &["state-machine-0"]),
            Fault(10_000, 5_000, Link(Postgres, Refusing), &["state-machine-0"]),
            Fault(13_000, 1_000, RoleKilled(StateMachine), &["state-machine-0"]),
        ],
        ..PLAIN
    },
    Bug {
        name: "record-without-key",
        wrong: "the relay publishes without a key, so the records of one order lie in several partitions",
        caught_by: C5LogOrder,
        ..PLAIN
    },
    Bug {
        name: "no-version-gate",
        wrong: "a transition is applied whatever version the order has by then",
        caught_by: C4Chain,
        replicas: 2,
        workload: |settings| settings.moved = 1.0,
        faults: &[Fault(2_000, 12_000, Link(Postgres, Slow), &["state-machine-0", "state-machine-1"])],
        ..PLAIN
    },
    Bug {
        name: "outbox-by-cursor",
        wrong: "the relay looks only behind the highest row that it has seen",
        replicas: 2,
        faults: &[Fault(1_000, 12_000, Link(Postgres, Slow), &["ordering-1"])],
        ..PLAIN
    },
    Bug {
        name: "pointer-deleted-before-ack",
        wrong: "the relay deletes its pointers before Kafka has acknowledged the records",
        caught_by: C5LogOrder,
        faults: &[
            // Not frozen: what lies in a frozen broker's socket is not lost.
            Fault(2_000, 4_000, BrokerKilled, &["kafka-1"]),
            Fault(4_500, 500, RoleKilled(StateMachine), &["state-machine-0"]),
        ],
        ..PLAIN
    },
    Bug {
        name: "outbox-row-deleted-with-unacked-record",
        wrong: "the relay deletes a row of the outbox when one of its records is acknowledged, with the pointers of the others",
        caught_by: C5LogOrder,
        // Timers that run out together write rows with many pointers; a broker that is away acknowledges none of its partitions.
        step_ms: 500,
        faults: &[
            Fault(2_000, 4_000, BrokerKilled, &["kafka-1"]),
            Fault(4_500, 500, RoleKilled(StateMachine), &["state-machine-0"]),
        ],
        ..PLAIN
    },
    Bug {
        name: "unknown-commit-kept",
        wrong: "ordering keeps the records of a commit of which it had no answer, with a number that it guessed",
        caught_by: C5LogOrder,
        // Each may come between a commit and its answer.
        faults: &[
            Fault(2_000, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(2_700, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(3_400, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(4_100, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(4_800, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(5_500, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(6_200, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(6_900, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(7_600, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(8_300, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(9_000, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(9_700, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(10_400, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(11_100, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(11_800, 200, Link(Postgres, Reset), &["ordering-0"]),
            Fault(12_500, 200, Link(Postgres, Reset), &["ordering-0"]),
        ],
        ..PLAIN
    },
    Bug {
        name: "republished-behind-later",
        wrong: "what is published again goes behind an order's later transitions that wait to be published",
        caught_by: C5LogOrder,
        // Transitions wait while the topics are away.
        step_ms: 500,
        faults: &[Fault(8_000, 0, TopicsLost, &[])],
        ..PLAIN
    },
    Bug {
        name: "snapshot-before-register",
        wrong: "a watch of an order reads the history first and registers in the hub afterwards",
        caught_by: C7Watch,
        // The comparison of streams with the store would mend what this bug breaks.
        settings: &[("COMANDA_WATCH_CHECK_MS", "600000")],
        // Short lives, so that many an order ends between the two; and no more watches than the slow database has answers for.
        roles: &Role::NEEDED,
        replicas: 2,
        gateways: 0,
        tenants: 1,
        step_ms: 300,
        workload: |settings| (settings.order_life_ms, settings.watched) = (900, 0.2),
        faults: &[
            Fault(1_000, 8_000, Link(Postgres, Slow), &["notification-0", "notification-1"]),
            Fault(9_500, 8_000, Link(Postgres, Slow), &["notification-0", "notification-1"]),
        ],
    },
    Bug {
        name: "slow-watcher-drops-oldest",
        wrong: "a watch of many orders that is too slow goes on with the oldest transition that is left",
        caught_by: C7Watch,
        settings: &[("COMANDA_WATCH_KEEP_RECORDS", "20")],
        workload: |settings| settings.boards = 12,
        faults: &[Fault(4_000, 3_000, BrokerFrozen, &["kafka-1"])],
        ..PLAIN
    },
    Bug {
        name: "timers-in-memory",
        wrong: "a state machine fires only the timers that run out while it is up",
        workload: |settings| settings.moved = 0.0,
        faults: &[Fault(5_000, 3_000, RoleKilled(StateMachine), &["state-machine-0"])],
        ..PLAIN
    },
    Bug {
        name: "timers-by-skewed-clock",
        wrong: "timers are compared with a clock that is 0.2 s ahead of the database's",
        caught_by: C6Timers,
        ..PLAIN
    },
    Bug {
        name: "request-id-in-second-transaction",
        wrong: "an order is committed first and its request id afterwards",
        caught_by: C3Idempotent,
        replicas: 2,
        faults: &[
            Fault(2_000, 3_000, Link(Postgres, Reset), &["ordering-0", "ordering-1"]),
            Fault(8_000, 500, RoleKilled(Ordering), &["ordering-0", "ordering-1"]),
        ],
        ..PLAIN
    },
    Bug {
        name: "mail-sent-before-data",
        wrong: "a mail is noted as sent before the mail server was given it",
        caught_by: C8Mail,
        faults: &[
            Fault(2_000, 3_000, Mail(CutsBeforeDot), &[]),
            Fault(6_000, 3_000, Mail(HangsUp), &[]),
            Fault(11_000, 500, RoleKilled(Notification), &["notification-0"]),
            Fault(13_000, 2_000, Link(Smtp, Dead), &["notification-0"]),
        ],
        ..PLAIN
    },
    Bug {
        name: "relay-highest-version-first",
        wrong: "the relay takes the highest unpublished version of an order instead of the lowest",
        caught_by: C5LogOrder,
        faults: &[Fault(3_000, 5_000, BrokerFrozen, &["kafka-1"])],
        ..PLAIN
    },
    Bug {
        name: "former-leader-keeps-firing",
        wrong: "who led once fires timers for ever, whatever the lease and the order's version are",
        caught_by: C4Chain,
        replicas: 2,
        workload: |settings| settings.moved = 0.0,
        faults: &[
            Fault(1_000, 7_500, RoleFrozen(StateMachine), &["state-machine-0"]),
            Fault(9_500, 7_500, RoleFrozen(StateMachine), &["state-machine-1"]),
        ],
        ..PLAIN
    },
    Bug {
        name: "replay-without-hash",
        wrong: "a repeated request id is answered without comparing what was asked",
        caught_by: C3Idempotent,
        ..PLAIN
    },
    Bug { name: "no-slot-index", wrong: "an order is given to a courier whatever the courier has already", ..RIDES },
    Bug {
        name: "step-without-version",
        wrong: "a step that dispatch asked for is taken whatever version the order has by then",
        // Somebody moves each ride there and back, while the step of dispatch is on its way. A courier is always free, so that dispatch
        // decides at once.
        workload: |settings| {
            rides(settings);
            (settings.shuffled, settings.couriers) = (1.0, 40);
        },
        faults: &[Fault(1_000, 16_000, Link(Kafka, Slow), &["state-machine-0"])],
        ..RIDES
    },
    Bug { name: "release-forgotten", wrong: "an order that was cancelled keeps its courier", ..RIDES },
    Bug {
        name: "position-after-end",
        wrong: "watchers of an order that has ended are shown where its courier is",
        ..RIDES
    },
    Bug {
        name: "analytics-offset-before-effect",
        wrong: "analytics notes that records are counted before it has counted them",
        caught_by: C14Analytics,
        faults: &[
            Fault(1_000, 4_000, Link(Postgres, Reset), &["analytics-0"]),
            Fault(5_500, 300, RoleKilled(Analytics), &["analytics-0"]),
            Fault(7_000, 300, RoleKilled(Analytics), &["analytics-0"]),
            Fault(8_500, 4_000, Link(Postgres, Reset), &["analytics-0"]),
            Fault(13_000, 300, RoleKilled(Analytics), &["analytics-0"]),
            Fault(14_500, 300, RoleKilled(Analytics), &["analytics-0"]),
        ],
        ..RIDES
    },
    Bug {
        name: "event-after-resume-skipped",
        wrong: "a gateway leaves out the first event after Last-Event-ID",
        caught_by: C7Watch,
        gateways: 1,
        workload: |settings| (settings.http, settings.watched) = (1.0, 1.0),
        // Orders move while nobody can watch them.
        faults: &[
            Fault(3_000, 2_000, RoleKilled(Gateway), &["gateway-0"]),
            Fault(9_000, 2_000, RoleKilled(Gateway), &["gateway-0"]),
        ],
        ..PLAIN
    },
    Bug { name: "watch-without-tenant", wrong: "a watch of many orders shows those of every tenant", ..TENANTS },
    Bug {
        name: "page-token-without-tenant",
        wrong: "a page token of one tenant, and a token to resume with, is taken from another",
        ..TENANTS
    },
    Bug {
        name: "revoked-key-kept",
        wrong: "a key that was revoked is good for as long as a server remembers it",
        ..TENANTS
    },
];

/// Two tenants, who try to reach what is the other's.
const TENANTS: Bug = Bug { caught_by: C10Tenants, tenants: 2, ..PLAIN };

/// Many rides for few couriers, most of them watched, many of them cancelled.
const RIDES: Bug = Bug { caught_by: C13Dispatch, roles: &Role::SERVERS, workload: rides, ..PLAIN };

fn rides(settings: &mut Settings) {
    (settings.rides, settings.couriers, settings.moved, settings.watched) = (0.15, 4, 0.6, 1.0);
}

/// The bugs whose names contain a text.
pub fn named(text: &str) -> Vec<Bug> {
    BUGS.into_iter().filter(|bug| bug.name.contains(text)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_is_an_attack_on_every_bug_that_can_be_planted() {
        let names: BTreeSet<_> = BUGS.iter().map(|bug| bug.name).collect();
        assert_eq!(names, comanda_kit::planted::NAMES.into());
    }

    #[test]
    fn equal_attacks_are_made_once_in_a_control() {
        let different = Bug::with_different_attacks(BUGS.into());
        let without_faults = different.iter().filter(|bug| bug.faults.is_empty()).count();
        assert_eq!(
            without_faults, 3,
            "three bugs need no fault, three nothing but rides, and three nothing but tenants"
        );
        assert_eq!(different.len(), BUGS.len() - 6);
    }

    #[test]
    fn a_bug_is_found_by_a_part_of_its_name_and_all_by_nothing() {
        assert_eq!(named("cursor").len(), 1);
        assert_eq!(named("").len(), BUGS.len());
        assert!(named("no such bug").is_empty());
    }
}
