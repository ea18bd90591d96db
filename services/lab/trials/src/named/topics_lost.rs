//! Kafka's log is lost.

use comanda_checker::history::Topic;

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Trial, step},
};
use crate::nemesis::Kind;

/// Deleted, made again, published again.
pub const LOST: Trial = Trial {
    name: "topics-lost",
    about: "The topics are deleted and made again under load, and everything is told again (comanda republish --all)",
    plan: |terms| Plan {
        faults: vec![step(terms.ms(60_000), 0, Kind::TopicsLost, &[])],
        length_ms: 25_000 + terms.ms(60_000),
        ..Plan::default()
    },
    act: None,
    goals,
};

fn goals(facts: &Facts<'_>) -> Vec<Goal> {
    let (orders, transitions) = (facts.last_log(Topic::Orders), facts.last_log(Topic::Transitions));
    let mut untold = 0;
    for order in facts.case.orders.values().filter(|order| order.row().is_some()) {
        let logs = order.logs();
        let told =
            |version| logs.get(&transitions).is_some_and(|log| log.iter().any(|(.., shown)| shown.version == version));
        untold += usize::from(!order.placed.iter().any(|record| record.place.log == orders));
        untold += order.steps.iter().filter(|step| !told(step.transition.version)).count();
    }
    vec![
        Goal::least("logs that the topics have had", Some(f64::from(orders.min(transitions))), 2.0),
        Goal::none("orders and transitions that the new topics do not tell", untold),
        Goal::most("s from when all was being told again until all was at rest", facts.drained_s("topics lost"), 60.0),
    ]
}
