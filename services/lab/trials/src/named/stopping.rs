//! Processes are told to stop while watchers and silent strangers hold on to them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_checker::history::What;
use futures::{FutureExt, future::LocalBoxFuture};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Terms, Trial, step},
};
use crate::{
    cluster::Role,
    nemesis::{Field, Kind},
    raw::frames::PREFACE,
    workload,
};

const WATCHES: u64 = 1_000;
const EACH: usize = 20;
/// When the first process is told to stop, and how long after it the next one.
const FIRST_MS: u64 = 20_000;
const APART_MS: u64 = 14_000;
/// So long before a process is told to stop its strangers come: it would end them before long.
const BEFORE_MS: u64 = 1_000;
const STRANGERS: usize = 10;
const CONNECT: Duration = Duration::from_secs(3);
/// SIGTERM to each role in its turn.
pub const STOPPING: Trial = Trial {
    name: "stopping",
    about: "Each role is told to stop (SIGTERM) with 1,000 watches open and half-open connections to it: it ends well within 12 s",
    plan: |terms| Plan {
        roles: &Role::SERVERS,
        replicas: 1,
        step_ms: 15_000,
        faults: Role::SERVERS
            .into_iter()
            .rev()
            .enumerate()
            .map(|(n, role)| {
                // Faults count from when clients have been at work for 5 s.
                step(
                    FIRST_MS - 5_000 + n as u64 * APART_MS,
                    2_000,
                    Kind::RoleStopped(role),
                    &[&format!("{}-0", role.name())],
                )
            })
            .collect(),
        workload: workload::Settings {
            // All of them are there when the first process is to stop, and stay.
            orders_per_second: (terms.count(WATCHES) as f64 / EACH as f64 / 12.0).max(1.0),
            watched: EACH as f64,
            most_streams: 2 * terms.count(WATCHES) as usize,
            order_life_ms: 3_600_000,
            moved: 0.0,
            batches: 0.0,
            connections: 10,
            ..Plan::default().workload
        },
        ..Plan::default()
    },
    act: Some(hold_on),
    goals,
};

/// Strangers that connect to each role before it is told to stop, and say nothing, or only hello.
fn hold_on(field: Arc<Field>, _: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        let mut sockets = Vec::new();
        sleep(Duration::from_millis(FIRST_MS - BEFORE_MS)).await;
        for role in Role::SERVERS.into_iter().rev() {
            let replica = field.cluster.endpoints.of(role).next().context("each role has a process")?;
            for n in 0..STRANGERS {
                let mut socket = timeout(CONNECT, TcpStream::connect(replica.direct)).await??;
                if n % 2 == 0 {
                    socket.write_all(PREFACE).await?;
                }
                sockets.push(socket);
            }
            sleep(Duration::from_millis(APART_MS)).await;
        }
        Ok(())
    }
    .boxed_local()
}

fn goals(facts: &Facts<'_>) -> Vec<Goal> {
    let mut goals = vec![Goal::least(
        "watches when the first process was told to stop",
        watches(facts),
        WATCHES as f64 * facts.scale,
    )];
    for fault in facts.faults("stopped") {
        let end = facts
            .case
            .pick(|line| match &line.what {
                What::Exited { process, code, .. } if process == fault.target && line.at_us >= fault.from_us => {
                    Some((line.at_us, *code))
                }
                _ => None,
            })
            .next();
        let took_s = end.map(|(at_us, _)| (at_us - fault.from_us) as f64 / 1e6);
        goals.push(Goal::most(format!("s until {} had ended", fault.target), took_s, 12.0));
        goals.push(Goal::most(
            format!("exit code of {}", fault.target),
            end.and_then(|(_, code)| code.map(f64::from)),
            0.0,
        ));
    }
    goals
}

/// Streams that were open when the first fault began.
fn watches(facts: &Facts<'_>) -> Option<f64> {
    let (from_us, _) = facts.span_us("stopped")?;
    let open =
        |stream: &&comanda_checker::case::Stream<'_>| stream.opened_us < from_us && stream.end_us(u64::MAX) >= from_us;
    Some(facts.case.streams.values().filter(open).count() as f64)
}
