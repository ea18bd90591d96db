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

/// How far each partition was acked, as the database knows it.
pub async fn acked_offsets(pool: &PgPool) -> Result<BTreeMap<i32, i64>, StoreError> {
    let statement = sqlx::query_as("SELECT partition, acked_offset FROM topic_offsets");
    let rows: Vec<(i32, i64)> = bounded(statement.fetch_all(pool)).await?;
    Ok(rows.into_iter().collect())
}

/// The partitions whose end is not above what was acked, with what was acked. `acked` must be older than `ends`: records that are acked while
/// the ends are asked for lie above them in a log that nobody lost.
fn fallen(acked: &BTreeMap<i32, i64>, ends: &BTreeMap<i32, i64>) -> (Vec<i32>, Vec<i64>) {
    let fell = acked.iter().filter(|(partition, acked)| ends.get(partition).is_some_and(|end| end <= acked));
    fell.map(|(partition, acked)| (*partition, *acked)).unzip()
}

/// Compares the ends of the broker's log with what was acked before they were asked for; whether the log was lost. A loss that the
/// database knows by now is not counted again.
pub async fn check(
    pool: &PgPool,
    lease: Lease,
    acked: &BTreeMap<i32, i64>,
    ends: &BTreeMap<i32, i64>,
) -> Result<bool, StoreError> {
    let (partitions, acked) = fallen(acked, ends);
    if partitions.is_empty() {
        return Ok(false);
    }
    let statement = sqlx::query_scalar(
        "WITH term AS MATERIALIZED (
             SELECT FROM lease WHERE epoch = $1 FOR SHARE
         ), lost AS MATERIALIZED (
             SELECT FROM unnest($2::int[], $3::bigint[]) AS b (partition, acked_offset)
             JOIN topic_offsets t ON t.partition = b.partition
             WHERE t.acked_offset >= b.acked_offset AND EXISTS (SELECT FROM term)
         ), stale AS (
             DELETE FROM topic_offsets WHERE EXISTS (SELECT FROM lost)
         ), renewed AS (
             UPDATE topic_log SET topic_epoch = topic_epoch + 1 WHERE EXISTS (SELECT FROM lost)
         )
         SELECT EXISTS (SELECT FROM lost)",
    );
    bounded(statement.bind(lease.epoch).bind(partitions).bind(acked).fetch_one(pool)).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_ends_at_or_below_what_was_acked_has_fallen() {
        let acked = BTreeMap::from([(0, 9), (1, 9), (2, 9), (3, 9)]);
        // The end is the next offset; partition 3 does not answer.
        let ends = BTreeMap::from([(0, 10), (1, 9), (2, 0), (4, 0)]);
        assert_eq!(fallen(&acked, &ends), (vec![1, 2], vec![9, 9]));
    }

    #[test]
    fn what_was_acked_after_the_ends_were_asked_for_is_no_loss() {
        let before = BTreeMap::from([(0, 9)]);
        assert_eq!(fallen(&before, &BTreeMap::from([(0, 10)])), (vec![], vec![]));
        // A partition whose first record was acked meanwhile.
        assert_eq!(fallen(&BTreeMap::new(), &BTreeMap::from([(0, 0)])), (vec![], vec![]));
    }
}
