//! Notices that Kafka has lost a topic's log: the topic was deleted, re-created or cut off.
//!
//! In: acks, and the ends of the broker's log. Out: a higher `topic_epoch`, by which consumers know that offsets start again, and a
//! line in the log for the operator.

use std::collections::BTreeMap;

use metrics::counter;
use sqlx::PgPool;
use tracing::error;

use super::pointers::Reach;
use crate::{
    lease::Lease,
    postgres::{StoreError, bounded},
};

/// How far each partition was acked to this relay.
#[derive(Default)]
pub struct Acked {
    /// Also acks that could not be noted in the database.
    offsets: BTreeMap<i32, i64>,
    /// Whether an ack showed a loss that the database does not know yet.
    is_unnoted: bool,
}

impl Acked {
    /// Compares acks with earlier ones; whether a loss is to be noted. The database compares too, but only what could be noted: while the
    /// lease changes or the database is away, a new log may grow past the noted end of the old one.
    pub fn shows_loss(&mut self, reach: &Reach) -> bool {
        let fell =
            reach.iter().any(|(partition, (low, _))| self.offsets.get(partition).is_some_and(|acked| low <= acked));
        if fell {
            self.offsets.clear();
        }
        self.offsets.extend(reach.iter().map(|(&partition, &(_, high))| (partition, high)));
        self.is_unnoted |= fell;
        self.is_unnoted
    }

    /// The database knows everything that is known here.
    pub fn noted(&mut self) {
        self.is_unnoted = false;
    }
}

/// Compares the ends of the broker's log with what it acked; whether the log was lost.
pub async fn check(pool: &PgPool, lease: Lease, ends: BTreeMap<i32, i64>) -> Result<bool, StoreError> {
    let (partitions, ends): (Vec<i32>, Vec<i64>) = ends.into_iter().unzip();
    let statement = sqlx::query_scalar(
        "WITH term AS MATERIALIZED (
             SELECT FROM lease WHERE epoch = $1 FOR SHARE
         ), lost AS MATERIALIZED (
             SELECT FROM unnest($2::int[], $3::bigint[]) AS b (partition, log_end)
             JOIN topic_offsets t ON t.partition = b.partition
             WHERE b.log_end <= t.acked_offset AND EXISTS (SELECT FROM term)
         ), stale AS (
             DELETE FROM topic_offsets WHERE EXISTS (SELECT FROM lost)
         ), renewed AS (
             UPDATE topic_log SET topic_epoch = topic_epoch + 1 WHERE EXISTS (SELECT FROM lost)
         )
         SELECT EXISTS (SELECT FROM lost)",
    );
    bounded(statement.bind(lease.epoch).bind(partitions).bind(ends).fetch_one(pool)).await
}

/// Tells the operator.
pub fn report(topic: &str) {
    counter!("comanda_lost_logs_total", "topic" => topic.to_owned()).increment(1);
    error!(
        topic,
        "KAFKA LOST THE LOG OF THIS TOPIC (deleted, re-created or cut off). No order is lost: run `comanda republish --all`. \
         Consumers start at the beginning of the new log."
    );
}
