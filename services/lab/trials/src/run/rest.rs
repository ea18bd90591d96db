//! Whether everything has come to rest: all queues empty, every order at its end, every mail sent or given up.

use std::{fmt, time::Duration};

use anyhow::{Context, Result};
use comanda_checker::history::What;
use sqlx::{Connection, FromRow, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{progress::Progress, scenario::Scenario};
use crate::{cluster::Cluster, dump, recorder::Recorder};

/// Seconds from the last heal until every order had ended and all was told, but for mails.
pub const ALL_TOLD_S: &str = "all told after the last heal, s";
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(30);
/// What changes for ever without coming to rest is stuck, too: after so many times what it may take.
const MOST_TIMES: u32 = 4;

/// What still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Waiting {
    /// Orders that Kafka has not been told of.
    pub unpublished_orders: i64,
    /// Transitions that Kafka has not been told of.
    pub unpublished_transitions: i64,
    /// Events of dispatch that Kafka has not been told of.
    pub unpublished_assignments: i64,
    /// Assignments that are open though their orders have ended.
    pub unreleased: i64,
    /// Orders that no state machine has taken up.
    pub unadopted: i64,
    /// Orders that have not ended.
    pub active: i64,
    /// Transitions that have no row in the mail ledger.
    pub unentered_mails: i64,
    /// Mails that are neither sent nor given up nor suppressed.
    pub unsent_mails: i64,
    /// Records that consumer groups have not said to have taken; -1 where Kafka does not tell.
    #[sqlx(default)]
    pub lag: i64,
}

const LOOK_INTO: &str = "SELECT
    (SELECT coalesce(sum(cardinality(order_ids)), 0) FROM ordering.outbox) AS unpublished_orders,
    (SELECT coalesce(sum(cardinality(order_ids)), 0) FROM state_machine.outbox) AS unpublished_transitions,
    (SELECT coalesce(sum(cardinality(order_ids)), 0) FROM dispatch.outbox) AS unpublished_assignments,
    (SELECT count(*) FROM dispatch.assignments a JOIN state_machine.states s ON s.order_id = a.order_id
     WHERE a.ended_at IS NULL AND s.phase > 1) AS unreleased,
    (SELECT count(*) FROM ordering.orders) - (SELECT count(*) FROM state_machine.states) AS unadopted,
    (SELECT count(*) FROM state_machine.states WHERE phase = 1) AS active,
    (SELECT count(*) FROM state_machine.transitions) - (SELECT count(*) FROM notification.mails WHERE copy = 0) AS unentered_mails,
    (SELECT count(*) FROM notification.mails WHERE state IN (1, 3)) AS unsent_mails";

impl Waiting {
    /// Looks once.
    pub async fn look(cluster: &Cluster) -> Result<Self> {
        let asked = async {
            let mut connection = PgConnection::connect(&cluster.endpoints.database_url).await?;
            let mut found: Self = sqlx::query_as(LOOK_INTO).fetch_one(&mut connection).await?;
            connection.close().await?;
            let lags = dump::lags(&cluster.endpoints).await;
            found.lag = lags.map_or(-1, |lags| lags.iter().map(|lag| lag.records).sum());
            anyhow::Ok(found)
        };
        timeout(LOOK, asked).await.context("Postgres or Kafka is silent")?
    }

    /// Whether nothing waits.
    pub fn is_nothing(&self) -> bool {
        self.is_mails_only() && self.unsent_mails == 0
    }

    /// Whether every order has ended, and everybody has taken what Kafka was told of it.
    fn is_mails_only(&self) -> bool {
        let published = [self.unpublished_orders, self.unpublished_transitions, self.unpublished_assignments];
        let ended = [self.unadopted, self.active, self.unreleased];
        let told = [self.unentered_mails, self.lag];
        published.iter().chain(&ended).chain(&told).all(|count| *count == 0)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unpublished {} + {} + {}, unadopted {}, active {}, unreleased {}, mails {} + {}, lag {}",
            self.unpublished_orders,
            self.unpublished_transitions,
            self.unpublished_assignments,
            self.unadopted,
            self.active,
            self.unreleased,
            self.unentered_mails,
            self.unsent_mails,
            self.lag
        )
    }
}

/// Waits until nothing waits any more. Returns the state of everything where that is stuck: nothing changed
/// for longer than `patience`, or all of it took far longer than `drain`.
pub async fn come_to_rest(
    cluster: &Cluster,
    recorder: &Recorder,
    progress: &Progress,
    Scenario { patience, drain, .. }: &Scenario,
) -> Result<(), String> {
    let (mut before, mut changed, began, mut told) = (None, Instant::now(), Instant::now(), false);
    loop {
        let now = Waiting::look(cluster).await;
        if !told && now.as_ref().is_ok_and(Waiting::is_mails_only) {
            told = true;
            recorder.record(What::Measured { name: ALL_TOLD_S.into(), value: began.elapsed().as_secs_f64() });
        }
        if now.as_ref().is_ok_and(Waiting::is_nothing) {
            return Ok(());
        }
        let now = now.map_or_else(|error| format!("{error:#}"), |waiting| waiting.to_string());
        progress.show(recorder, &now);
        if before.as_ref() != Some(&now) {
            (before, changed) = (Some(now), Instant::now());
        } else if changed.elapsed() > *patience {
            return Err(state(cluster, &now).await);
        }
        if began.elapsed() > *drain * MOST_TIMES {
            return Err(state(cluster, "it moves, and comes to no end").await);
        }
        sleep(INTERVAL).await;
    }
}

/// Every queue, lag and process.
async fn state(cluster: &Cluster, waiting: &str) -> String {
    let processes = cluster.roles.iter().chain(&cluster.brokers).chain([&cluster.postgres]);
    let processes = processes.map(|process| {
        let state = process.pid().map_or("does not run".into(), |pid| format!("runs (pid {pid})"));
        format!("{} {state}", process.name())
    });
    let lags = dump::lags(&cluster.endpoints).await.unwrap_or_default();
    let lags = lags.iter().filter(|lag| lag.records != 0);
    let lags = lags.map(|lag| format!("{} partition {}: {} records behind", lag.group, lag.partition, lag.records));
    let lines = [waiting.to_owned()].into_iter().chain(processes).chain(lags);
    lines.collect::<Vec<_>>().join("\n")
}
