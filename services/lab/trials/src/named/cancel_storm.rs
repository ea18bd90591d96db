//! Clients that hang up in the midst of their calls, nearly all of them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_checker::history::{Op, What};
use futures::{FutureExt, future::LocalBoxFuture};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{
    goal::Goal,
    trial::{Plan, Terms, Trial},
};
use crate::{
    cluster::{Class, Role},
    nemesis::Field,
    proxy::Manners,
    workload,
};

const CREATES: u64 = 50_000;
/// A call is tried up to six times, and hung up on mostly; so many calls a second come of the orders that are asked for.
const CALLS_PER_SECOND: u64 = 490;
const ORDERS_PER_SECOND: f64 = 110.0;
/// Added to each way to Postgres and back.
const LATENCY: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);
const IDLE_MS: &str = "longest idle in transaction, ms";
const LOOK_FOR_IDLE: &str = "
    SELECT (coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0) * 1000)::float8
    FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";

/// Nineteen of twenty calls are left after 20 ms at most; the others show what is kept meanwhile.
pub const STORM: Trial = Trial {
    name: "cancel-storm",
    about: "Of 50,000 creates nearly all are hung up on after 0 to 20 ms while Postgres is 5 ms away: each OK is kept, no transaction stays open",
    plan: |terms| Plan {
        workload: workload::Settings {
            orders_per_second: ORDERS_PER_SECOND,
            hang_ups: 0.95,
            batches: 0.0,
            moved: 0.0,
            watched: 0.0,
            reads: 0.0,
            boards: 1,
            most_calls: 4000,
            ..Plan::default().workload
        },
        length_ms: length_ms(terms),
        // Most calls are carried out though nobody waits for them: thousands of orders, with four mails each.
        drain_ms: 120_000,
        ..Plan::default()
    },
    act: Some(slow_down_and_look),
    goals: |facts| {
        let creates = facts.calls().iter().filter(|call| matches!(call.op, Op::Create(_))).count();
        vec![
            Goal::least("creates sent", Some(creates as f64), CREATES as f64 * facts.scale),
            Goal::least(
                "creates answered OK",
                Some(facts.figures().accepted as f64),
                CREATES as f64 * facts.scale * 0.01,
            ),
            Goal::most("ms that a connection was idle in a transaction", facts.most_measured(IDLE_MS), 1000.0),
        ]
    },
};

fn length_ms(terms: &Terms) -> u64 {
    10_000 + terms.count(CREATES) * 1000 / CALLS_PER_SECOND
}

fn slow_down_and_look(field: Arc<Field>, terms: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        let fault = field.recorder.number();
        let target = "ordering".into();
        field.recorder.record(What::Fault { fault, name: "postgres links slow, clients hang up".into(), target });
        let links =
            || field.cluster.wires_of(Class::Postgres).filter(|wire| wire.replica.starts_with(Role::Ordering.name()));
        links().for_each(|wire| wire.link.set(Manners { latency: LATENCY / 2, ..Manners::default() }));
        let end = Instant::now() + Duration::from_millis(length_ms(&terms));
        let mut connection = connect(&field).await?;
        while Instant::now() < end {
            let asked = sqlx::query_scalar(LOOK_FOR_IDLE).fetch_one(&mut connection);
            let value = timeout(PATIENCE, asked).await.context("Postgres is silent")??;
            field.recorder.record(What::Measured { name: IDLE_MS.into(), value });
            sleep(LOOK).await;
        }
        links().for_each(|wire| wire.link.mend());
        field.recorder.record(What::Heal { fault, failed: None });
        Ok(timeout(PATIENCE, connection.close()).await.context("Postgres is silent")??)
    }
    .boxed_local()
}

async fn connect(field: &Field) -> Result<PgConnection> {
    let connecting = PgConnection::connect(&field.cluster.endpoints.database_url);
    Ok(timeout(PATIENCE, connecting).await.context("Postgres is silent")??)
}
