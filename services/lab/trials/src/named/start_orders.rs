//! Everything is started in every order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use comanda_checker::history::What;
use futures::{
    FutureExt,
    future::{LocalBoxFuture, try_join_all},
};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::time::sleep;

use super::{
    goal::Goal,
    trial::{Plan, Terms, Trial},
};
use crate::{
    cluster::{Process, Role, Signal},
    nemesis::Field,
    workload,
};

/// What is started at once: Postgres, Kafka, ordering, and all other roles. There are 24 orders of them.
const PARTS: usize = 4;
/// Between one start and the next: long enough to find that something is missing.
const PAUSE: Duration = Duration::from_millis(400);
/// Work between one order and the next.
const BETWEEN: Duration = Duration::from_millis(500);
const SERVED_S: &str = "served after the last start, s";

/// All orders, each with all that follows missing at first.
pub const ORDERS: Trial = Trial {
    name: "start-orders",
    about: "Postgres, Kafka and the roles are stopped and started in all 24 orders: everything serves in the end, and ends well",
    plan: |_| Plan {
        roles: &Role::SERVERS,
        replicas: 1,
        workload: workload::Settings { orders_per_second: 10.0, watched: 0.5, ..Plan::default().workload },
        ..Plan::default()
    },
    act: Some(start_in_all_orders),
    goals: |facts| {
        let roles = |process: &str| Role::SERVERS.iter().any(|role| process.starts_with(role.name()));
        let ends = facts.case.pick(|line| match &line.what {
            What::Exited { process, code, .. } if roles(process) => Some(*code),
            _ => None,
        });
        let served = facts.measured(SERVED_S);
        vec![
            Goal::least("orders of starting", Some(served.len() as f64), (24.0 * facts.scale).round().max(1.0)),
            Goal::most("s from the last start until all served (worst)", served.into_iter().reduce(f64::max), 30.0),
            Goal::none("exit codes of roles other than 0", ends.filter(|code| *code != Some(0)).count()),
        ]
    },
};

fn start_in_all_orders(field: Arc<Field>, terms: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        let mut orders = permutations(PARTS);
        orders.shuffle(&mut StdRng::seed_from_u64(terms.seed));
        orders.truncate(terms.count(24) as usize);
        for order in orders {
            sleep(BETWEEN).await;
            restart(&field, &order).await?;
        }
        Ok(())
    }
    .boxed_local()
}

/// What is started last is stopped first, so roles are also stopped with nothing left to talk to.
async fn restart(field: &Field, order: &[usize]) -> Result<()> {
    let fault = field.recorder.number();
    // By their places and not by name: the judge takes a fault of a named role for one that spares the others.
    let target = format!("parts {order:?}");
    field.recorder.record(What::Fault { fault, name: "all stopped, and started in an order".into(), target });
    for part in order.iter().rev() {
        let (processes, signal) = part_of(field, *part);
        try_join_all(processes.into_iter().map(|process| async move { process.end(signal).await })).await?;
    }
    for part in order {
        sleep(PAUSE).await;
        try_join_all(part_of(field, *part).0.into_iter().map(|process| async move { process.start().await })).await?;
    }
    let began = Instant::now();
    field.cluster.serves().await?;
    field.recorder.record(What::Measured { name: SERVED_S.into(), value: began.elapsed().as_secs_f64() });
    field.recorder.record(What::Heal { fault, failed: None });
    Ok(())
}

/// The processes of a part, and how they are ended.
fn part_of(field: &Field, part: usize) -> (Vec<Process>, Signal) {
    let roles = |names: &[&str]| {
        field
            .cluster
            .roles
            .iter()
            .filter(|role| names.iter().any(|name| role.name().starts_with(name)))
            .cloned()
            .collect()
    };
    match part {
        0 => (vec![field.cluster.postgres.clone()], Signal::Int),
        1 => (field.cluster.brokers.clone(), Signal::Kill),
        2 => (roles(&[Role::Ordering.name()]), Signal::Term),
        _ => (roles(&Role::SERVERS.map(Role::name)[1..]), Signal::Term),
    }
}

fn permutations(length: usize) -> Vec<Vec<usize>> {
    (0..length).fold(vec![Vec::new()], |shorter, next| {
        let longer = shorter.iter().flat_map(|order: &Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            })
        });
        longer.collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_24_orders_and_no_two_are_alike() {
        let orders: BTreeSet<_> = permutations(PARTS).into_iter().collect();
        assert_eq!(orders.len(), 24);
    }
}
