//! Kafka is away: orders are taken all the same, and published when it is back.

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Terms, Trial, step},
};
use crate::{nemesis::Kind, workload};

/// The only broker.
pub const ALONE: Trial = Trial {
    name: "kafka-away",
    about: "The only broker is killed for 75 s at 100 orders a second: no order is refused, all is told a minute after",
    plan: |terms| plan(terms, 1, 75_000, Kind::BrokerKilled, &["kafka-1"]),
    act: None,
    goals,
};

/// Two of three.
pub const TWO_OF_THREE: Trial = Trial {
    name: "brokers-away",
    about: "Two of three brokers are killed for 45 s: no order is refused, all is told a minute after",
    plan: |terms| plan(terms, 3, 45_000, Kind::BrokersKilled, &["kafka-1", "kafka-2"]),
    act: None,
    goals,
};

fn plan(terms: &Terms, brokers: usize, away_ms: u64, kind: Kind, targets: &[&str]) -> Plan {
    let faults = vec![step(10_000, terms.ms(away_ms), kind, targets)];
    // A batch counts as one call, however many orders it has.
    let workload = workload::Settings { orders_per_second: 100.0, batches: 0.02, ..Plan::default().workload };
    // At rest is what has no mail to send either, which are four of each order; so many connections shorten that.
    let settings = vec![("COMANDA_SMTP_CONNECTIONS", "16".to_owned())];
    Plan { brokers, faults, workload, settings, drain_ms: 60_000 + terms.ms(away_ms), ..Plan::default() }
}

fn goals(facts: &Facts<'_>) -> Vec<Goal> {
    let failed = facts.calls().iter().filter(|call| call.creates() && call.failed()).count();
    let away_s = facts.span_us("kafka").map(|(from_us, to_us)| (to_us - from_us) as f64 / 1e6);
    let mails = facts.drained_s("kafka").zip(away_s).map(|(drained_s, away_s)| drained_s / away_s);
    vec![
        Goal::none("creates refused or with unknown outcome", failed),
        Goal::most("s from Kafka's return until every order had ended and all was told", facts.told_s("kafka"), 60.0),
        Goal::most("s from Kafka's return until every mail was sent, in times of its absence", mails, 1.0),
    ]
}
