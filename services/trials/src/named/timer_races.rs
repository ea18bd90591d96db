//! A cancel and a timer at the same moment.

use std::collections::BTreeMap;

use comanda_checker::{case::Outcome, history::Transition};

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Trial},
};
use crate::workload;

const RACES: u64 = 20_000;
const RACES_PER_SECOND: u64 = 150;

/// One of the two wins.
pub const RACES_WON: Trial = Trial {
    name: "timer-against-cancel",
    about: "20,000 cancels of a version are sent within 5 ms of its timer: exactly one of both moves the order, both are told",
    plan: |terms| Plan {
        workload: workload::Settings {
            orders_per_second: RACES_PER_SECOND as f64,
            batches: 0.0,
            moved: 1.0,
            races: 1.0,
            hang_ups: 0.0,
            reads: 0.0,
            most_movers: 10_000,
            ..Plan::default().workload
        },
        length_ms: 5_000 + terms.count(RACES) * 1000 / RACES_PER_SECOND,
        ..Plan::default()
    },
    act: None,
    goals,
};

fn goals(facts: &Facts<'_>) -> Vec<Goal> {
    let (won, lost, untold) = races(facts);
    let percent = |count: usize| Some(count as f64 * 100.0 / (won + lost).max(1) as f64);
    vec![
        Goal::least("races", Some((won + lost) as f64), RACES as f64 * facts.scale),
        Goal::least("percent won by the cancel", percent(won), 1.0),
        Goal::least("percent won by the timer", percent(lost), 1.0),
        Goal::none("cancels whose end nobody was told", untold),
    ]
}

/// How many commands won, how many came after the timer, and of how many no try was ever answered.
fn races(facts: &Facts<'_>) -> (usize, usize, usize) {
    let mut tries: BTreeMap<_, Vec<&Outcome<_>>> = BTreeMap::new();
    for attempt in &facts.case.moves {
        tries.entry((attempt.asked.order_id, attempt.asked.request_id)).or_default().push(&attempt.outcome);
    }
    let count = |holds: &dyn Fn(&[&Outcome<&Transition>]) -> bool| tries.values().filter(|tries| holds(tries)).count();
    let won = |tries: &[&Outcome<_>]| tries.iter().any(|end| matches!(end, Outcome::Ok { .. }));
    let late = |tries: &[&Outcome<_>]| tries.iter().any(|end| is_late(end));
    let untold = |tries: &[&Outcome<_>]| tries.iter().all(|end| matches!(end, Outcome::Unknown));
    (count(&won), count(&|tries| late(tries) && !won(tries)), count(&untold))
}

fn is_late<Shown>(end: &Outcome<Shown>) -> bool {
    matches!(end, Outcome::Refused { reason: Some(reason), .. } if matches!(&**reason, "VERSION_MISMATCH" | "ORDER_ENDED"))
}
