//! A cancel and a timer at the same moment.

use std::collections::BTreeMap;

use comanda_checker::case::Outcome;

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Trial},
};
use crate::workload;

const RACES: u64 = 20_000;
/// Clients, mails and watchers share the cores: with more, cancels come late and only timers win.
const RACES_PER_SECOND: u64 = 100;

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
    let mut commands: BTreeMap<_, Race> = BTreeMap::new();
    for attempt in &facts.case.moves {
        let race = commands.entry((attempt.asked.order_id, attempt.asked.request_id)).or_default();
        *race = (*race).max(Race::of(&attempt.outcome));
    }
    let count = |end| commands.values().filter(|race| **race == end).count();
    (count(Race::Won), count(Race::Lost), count(Race::Untold))
}

/// What the client of a command knows after all its tries: the best that it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Race {
    #[default]
    Untold,
    /// Something else was in the way.
    Refused,
    Lost,
    Won,
}

impl Race {
    fn of<Shown>(end: &Outcome<Shown>) -> Self {
        match end {
            Outcome::Ok { .. } => Self::Won,
            Outcome::Refused { reason: Some(reason), .. }
                if ["VERSION_MISMATCH", "ORDER_ENDED"].contains(&&**reason) =>
            {
                Self::Lost
            }
            Outcome::Refused { .. } => Self::Refused,
            Outcome::Unknown => Self::Untold,
        }
    }
}
