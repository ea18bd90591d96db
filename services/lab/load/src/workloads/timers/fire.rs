//! Timers that come due, and how late the orders move: told by the database's clock alone.

use std::time::Duration;

use anyhow::{Result, bail};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use super::TimersArgs;
use crate::report::{Better, Latency, Run};

const POLL: Duration = Duration::from_millis(100);
const LEAD_SECONDS: f64 = 2.0;
/// Nothing has fired for so long: nothing will.
const STUCK: Duration = Duration::from_secs(60);

/// So many a second, evenly, for the seconds to come.
pub(super) async fn at_rate(sql: &PgPool, args: &TimersArgs, run: &mut Run) -> Result<()> {
    let count = args.rate * args.seconds;
    let (first, _) = due(sql, count, args.seconds as f64).await?;
    moved(sql, count).await?;
    let latency = lateness(sql, first, &format!("lateness at {}/s", args.rate)).await?;
    let most = latency.at(100.0).unwrap_or(f64::NAN);
    let name = format!("{} max", latency.name);
    run.timing(latency);
    run.figure(&name, "ms", most, Better::Lower);
    Ok(())
}

/// All at one instant.
pub(super) async fn at_once(sql: &PgPool, count: i64, run: &mut Run) -> Result<()> {
    let before = sqlx::query_scalar("SELECT count(*) FROM state_machine.transitions WHERE version = 2");
    let before: i64 = before.fetch_one(sql).await?;
    let (first, _) = due(sql, count, 0.0).await?;
    moved(sql, before + count).await?;
    let latency = lateness(sql, first, &format!("lateness of {count} at one instant")).await?;
    let seconds = latency.at(100.0).unwrap_or(f64::NAN) / 1000.0;
    run.figure(&format!("{count} timers at one instant, until all have fired"), "s", seconds, Better::Lower);
    run.latencies.push(latency);
    Ok(())
}

/// Lets `count` orders that have not moved come due, spread over some seconds; returns when the first and the last will.
async fn due(sql: &PgPool, count: i64, spread_seconds: f64) -> Result<(f64, f64)> {
    // The history tells when an order was due, so it is told there too.
    let statement = "WITH chosen AS (
                         SELECT order_id, row_number() OVER () AS n FROM
                             (SELECT order_id FROM state_machine.states WHERE version = 1 LIMIT $1) AS pending
                     ), states AS (
                         UPDATE state_machine.states s
                         SET due_at = clock.start + make_interval(secs => $2 + $3 * c.n / $1)
                         FROM chosen c, (SELECT clock_timestamp() AS start) AS clock WHERE s.order_id = c.order_id
                         RETURNING s.order_id, s.due_at
                     ), history AS (
                         UPDATE state_machine.transitions t SET due_at = s.due_at
                         FROM states s WHERE t.order_id = s.order_id AND t.version = 1
                     )
                     SELECT extract(epoch FROM min(due_at))::float8, extract(epoch FROM max(due_at))::float8 FROM states";
    // The statement itself takes long for many orders: nothing may be due before it commits.
    let lead_seconds = LEAD_SECONDS + count as f64 / 5000.0;
    let query = sqlx::query_as(statement).bind(count).bind(lead_seconds).bind(spread_seconds);
    Ok(query.fetch_one(sql).await?)
}

/// Waits until `count` orders have moved and all that is told.
async fn moved(sql: &PgPool, count: i64) -> Result<()> {
    let statement = "SELECT (SELECT count(*) FROM state_machine.states WHERE version > 1),
                            (SELECT count(*) FROM state_machine.outbox)";
    let (mut before, mut changed) = ((0, 0), Instant::now());
    loop {
        let now: (i64, i64) = sqlx::query_as(statement).fetch_one(sql).await?;
        if now == (count, 0) {
            return Ok(());
        }
        if now != before {
            (before, changed) = (now, Instant::now());
        }
        if changed.elapsed() > STUCK {
            bail!("{} of {count} orders have moved, {} are untold, and nothing happens", now.0, now.1);
        }
        sleep(POLL).await;
    }
}

/// How late the orders moved that were due from a moment on, in seconds since 1970.
async fn lateness(sql: &PgPool, first: f64, name: &str) -> Result<Latency> {
    let shares = [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0];
    let statement = "SELECT count(*), percentile_disc($1::float8[]) WITHIN GROUP
                         (ORDER BY extract(epoch FROM moved.transition_time - due.due_at)::float8 * 1000)
                     FROM state_machine.transitions moved
                     JOIN state_machine.transitions due ON due.order_id = moved.order_id AND due.version = 1
                     WHERE moved.version = 2 AND due.due_at >= to_timestamp($2) - interval '1 millisecond'";
    let fractions: Vec<f64> = shares.iter().map(|share| share / 100.0).collect();
    let (count, milliseconds): (i64, Option<Vec<f64>>) =
        sqlx::query_as(statement).bind(fractions).bind(first).fetch_one(sql).await?;
    let percentiles = shares.into_iter().zip(milliseconds.unwrap_or_default()).collect();
    Ok(Latency { name: name.into(), count: count as u64, percentiles })
}
