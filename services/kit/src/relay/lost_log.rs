//! Notices that Kafka has lost a topic's log: the topic was deleted, re-created or cut off.
//!
//! In: acks, and the ends of the broker's log. Out: a higher `topic_epoch`, by which consumers know that offsets start again, and a
//! line in the log for the operator.

use std::collections::BTreeMap;

use metrics::counter;
use sqlx::PgPool;
use tracing::error;

use super::acks::Reach;
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
pub async fn acked_offsets(pool: &PgPool) -> Result<Offsets, StoreError> {
    let statement = sqlx::query_as("SELECT partition, acked_offset FROM topic_offsets");
    let rows: Vec<(i32, i64)> = bounded(statement.fetch_all(pool)).await?;
    Ok(rows.into_iter().collect())
}

/// Partitions, each with how far it was acked.
pub type Offsets = BTreeMap<i32, i64>;

/// The partitions whose end is not above what was acked. `acked` must be older than `ends`: records that are acked while the ends are
/// asked for lie above them in a log that nobody lost.
pub fn fallen(acked: &Offsets, ends: &Offsets) -> Offsets {
    let fell = acked.iter().filter(|(partition, acked)| ends.get(partition).is_some_and(|end| end <= acked));
    fell.map(|(partition, acked)| (*partition, *acked)).collect()
}

/// The partitions that the last check found fallen. One check is not enough: a broker that stood still for a while, and whose partitions
/// others lead by now, answers with the ends it knew until it hears of it.
#[derive(Default)]
pub struct Suspicion(Offsets);

impl Suspicion {
    /// Those that are found fallen for the second time in a row.
    pub fn confirm(&mut self, fallen: Offsets) -> Offsets {
        let before = std::mem::replace(&mut self.0, fallen);
        let again = self.0.iter().filter(|(partition, _)| before.contains_key(partition));
        again.map(|(partition, acked)| (*partition, *acked)).collect()
    }

    /// Whether the last check found none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Notes that these partitions lost their log; whether the database did not know that yet.
pub async fn note(pool: &PgPool, lease: Lease, lost: &Offsets) -> Result<bool, StoreError> {
    let (partitions, acked): (Vec<i32>, Vec<i64>) = lost.iter().unzip();
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
        let acked = Offsets::from([(0, 9), (1, 9), (2, 9), (3, 9)]);
        // The end is the next offset; partition 3 does not answer.
        let ends = Offsets::from([(0, 10), (1, 9), (2, 0), (4, 0)]);
        assert_eq!(fallen(&acked, &ends), Offsets::from([(1, 9), (2, 9)]));
        // A partition whose first record was acked after the ends were asked for.
        assert_eq!(fallen(&Offsets::new(), &Offsets::from([(0, 0)])), Offsets::new());
    }

    #[test]
    fn a_loss_is_believed_when_two_checks_in_a_row_find_it() {
        let mut suspicion = Suspicion::default();
        let (one, both) = (Offsets::from([(1, 9)]), Offsets::from([(1, 9), (2, 4)]));
        assert_eq!(suspicion.confirm(one.clone()), Offsets::new());
        assert!(!suspicion.is_empty());
        assert_eq!(suspicion.confirm(both.clone()), one);
        assert_eq!(suspicion.confirm(Offsets::new()), Offsets::new());
        assert_eq!(suspicion.confirm(both), Offsets::new(), "the check between them found nothing");
    }
}
