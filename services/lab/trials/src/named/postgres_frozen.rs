//! Postgres does nothing for a while, and its connections stay open.

use super::{
    facts::{Facts, back_s},
    goal::Goal,
    trial::{Plan, Trial, step},
};
use crate::{nemesis::Kind, workload};

/// SIGSTOP.
pub const FROZEN: Trial = Trial {
    name: "postgres-frozen",
    about: "Postgres is stopped (SIGSTOP) for 30 s under load: every call ends within 6 s, and orders are taken 10 s after",
    plan: |terms| Plan {
        faults: vec![step(10_000, terms.ms(30_000), Kind::PostgresFrozen, &[])],
        // Clients that would wait far longer than they should have to.
        workload: workload::Settings {
            patience_ms: (30_000, 30_000),
            most_calls: 4000,
            batches: 0.0,
            ..Plan::default().workload
        },
        length_ms: 25_000 + terms.ms(30_000),
        ..Plan::default()
    },
    act: None,
    goals,
};

/// Longer than a consumer may take between two polls.
pub const BEYOND_POLL: Trial = Trial {
    name: "postgres-frozen-beyond-poll",
    about: "Postgres is stopped for 25 s where a consumer may take 8 s between two polls: every group goes on by itself",
    plan: |terms| Plan {
        settings: vec![(
            "COMANDA_KAFKA_CONFIG",
            "{\"session.timeout.ms\": 6000, \"max.poll.interval.ms\": 8000}".to_owned(),
        )],
        faults: vec![step(5_000, terms.ms(25_000), Kind::PostgresFrozen, &[])],
        length_ms: 15_000 + terms.ms(25_000),
        ..Plan::default()
    },
    act: None,
    goals: |facts| {
        vec![Goal::most(
            "s from its return until every order had ended and all was told",
            facts.told_s("postgres frozen"),
            60.0,
        )]
    },
};

fn goals(facts: &Facts<'_>) -> Vec<Goal> {
    let Some((from_us, to_us)) = facts.span_us("postgres frozen") else {
        return vec![Goal::least("faults", Some(0.0), 1.0)];
    };
    let calls = facts.calls();
    let frozen = || calls.iter().filter(|call| (from_us..to_us).contains(&call.sent_us));
    let slowest = frozen().map(|call| call.done_us - call.sent_us).max();
    let back = facts
        .faults("postgres frozen")
        .next()
        .and_then(|fault| back_s(&facts.accepted_us(), fault, facts.case.last_heal_us?));
    let frozen_s = (to_us - from_us) as f64 / 1e6;
    vec![
        Goal::least("calls sent meanwhile", Some(frozen().count() as f64), 100.0),
        Goal::most("s that the slowest of them took", slowest.map(|us| us as f64 / 1e6), 6.0),
        Goal::most("s after its return until orders were taken as before", back.map(|s| (s - frozen_s).max(0.0)), 10.0),
    ]
}
