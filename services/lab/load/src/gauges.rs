//! What waits where, sampled while a run goes on.

use std::time::Duration;

use anyhow::{Result, bail};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::report::Series;

const SAMPLE: Duration = Duration::from_millis(250);
/// How often the end of a run is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// After a question, at least so many times as long as it took nothing is asked: counting what waits may not cost more than a twentieth
/// of a core of what is measured.
const REST: u32 = 20;
/// A run in which nothing moves for so long is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// How much waits now. All cheap to count while little waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
#[allow(missing_docs)]
pub struct Waiting {
    pub orders_outbox: i64,
    pub transitions_outbox: i64,
    pub active: i64,
    pub mails: i64,
}

impl Waiting {
    /// Asks the database.
    pub async fn now(sql: &PgPool) -> Result<Self> {
        Ok(sqlx::query_as(
            "SELECT (SELECT coalesce(sum(cardinality(order_ids)), 0) FROM ordering.outbox) AS orders_outbox,
                    (SELECT coalesce(sum(cardinality(order_ids)), 0) FROM state_machine.outbox) AS transitions_outbox,
                    (SELECT count(*) FROM state_machine.states WHERE due_at IS NOT NULL) AS active,
                    (SELECT count(*) FROM notification.mails WHERE next_try_time IS NOT NULL)
                    + (SELECT count(*) FROM notification.claimed_mails) AS mails",
        )
        .fetch_one(sql)
        .await?)
    }
}

/// Samples until it is dropped; the points lie in `series`.
pub async fn sample(sql: &PgPool, series: &mut Vec<Series>) {
    let started = Instant::now();
    let name = |name: &str| Series { name: name.into(), unit: "rows".into(), points: Vec::new() };
    *series = ["orders outbox", "transitions outbox", "active orders", "unsent mails"].map(name).into();
    loop {
        let asked = Instant::now();
        if let Ok(waiting) = Waiting::now(sql).await {
            let at = started.elapsed().as_secs_f64();
            let values = [waiting.orders_outbox, waiting.transitions_outbox, waiting.active, waiting.mails];
            for (series, value) in series.iter_mut().zip(values) {
                series.points.push((at, value as f64));
            }
        }
        sleep(SAMPLE.max(asked.elapsed() * REST)).await;
    }
}

/// Waits until `orders` orders have ended and nothing waits to be told.
pub async fn drained(sql: &PgPool, orders: u64) -> Result<()> {
    settled(sql, orders, |waiting| waiting == Waiting::default()).await
}

/// Waits until `orders` orders are adopted and nothing waits to be told; they may be on their way.
pub async fn told(sql: &PgPool, orders: u64) -> Result<()> {
    settled(sql, orders, |waiting| waiting.orders_outbox + waiting.transitions_outbox == 0).await
}

async fn settled(sql: &PgPool, orders: u64, is_settled: impl Fn(Waiting) -> bool) -> Result<()> {
    let (mut before, mut moved) = ((Waiting::default(), 0), Instant::now());
    loop {
        let asked = Instant::now();
        let waiting = Waiting::now(sql).await?;
        // Reads all states: only asked where it may be the last question.
        let adopted = if is_settled(waiting) { adopted(sql).await? } else { before.1 };
        if is_settled(waiting) && adopted >= orders as i64 {
            return Ok(());
        }
        if (waiting, adopted) != before {
            (before, moved) = ((waiting, adopted), Instant::now());
        }
        if moved.elapsed() > STUCK {
            bail!("nothing has moved for {STUCK:?}: {waiting:?}, {adopted} of {orders} orders were adopted");
        }
        sleep(LOOK.max(asked.elapsed() * REST)).await;
    }
}

async fn adopted(sql: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM state_machine.states").fetch_one(sql).await?)
}
