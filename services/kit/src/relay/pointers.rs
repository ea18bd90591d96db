//! The outbox's table: pointers to what is not published yet.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tracing::warn;
use uuid::Uuid;

use crate::{
    dedicated::{Commit, Dedicated},
    lease::Lease,
    postgres::{StoreError, bounded},
};

/// After how many deletes the outbox is vacuumed: an index is scanned from the end where its dead entries lie.
const DELETES_PER_VACUUM: u64 = 50_000;

/// The lowest and the highest offset of some acks, by partition.
pub type Reach = BTreeMap<i32, (i64, i64)>;

/// What Kafka has of a batch.
#[derive(Debug, Default)]
pub struct Acks {
    /// The records' keys ..
    pub keys: Vec<Uuid>,
    /// .. and versions.
    pub versions: Vec<i64>,
    /// Where they came to lie.
    pub reach: Reach,
}

impl Acks {
    /// Of those pointers that were acked.
    pub fn of(pointers: &[(Uuid, i64)], acks: &[Result<(i32, i64), KafkaError>]) -> Self {
        let mut acked = Self::default();
        for (&(key, version), ack) in pointers.iter().zip(acks) {
            let Ok((partition, offset)) = *ack else { continue };
            acked.keys.push(key);
            acked.versions.push(version);
            // A repeated send that the broker had already is acked without an offset.
            if offset >= 0 {
                let (low, high) = acked.reach.entry(partition).or_insert((offset, offset));
                (*low, *high) = ((*low).min(offset), (*high).max(offset));
            }
        }
        acked
    }
}

/// The pointers in the schema that the pool sees as its own.
pub struct Pointers {
    pool: PgPool,
    /// Relaxed: a delete that a crash undoes is followed by one more repetition.
    dedicated: Dedicated,
    deletes: u64,
}

impl Pointers {
    /// Those that `pool` sees.
    pub fn new(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), dedicated: Dedicated::new(pool, Commit::Relaxed), deletes: 0 }
    }

    /// Deletes what was acked and notes how far each partition got, in one statement: whether we still lead (else it did nothing), and
    /// whether a log was lost, because of these acks or as is known already.
    ///
    /// Rows are looked up one by one and deleted by their place. As a join it went wrong: an outbox that was vacuumed while it was empty
    /// counts as empty for the planner, however much it holds, and was read whole for each row of the batch.
    pub async fn forget(&mut self, lease: Lease, acks: &Acks, is_lost: bool) -> Result<(bool, bool), StoreError> {
        let partitions: Vec<i32> = acks.reach.keys().copied().collect();
        let (lows, highs): (Vec<i64>, Vec<i64>) = acks.reach.values().copied().unzip();
        let mut connection = self.dedicated.take().await?;
        let result = bounded(
            sqlx::query_as(
                "WITH term AS MATERIALIZED (
                     SELECT FROM lease WHERE epoch = $1 FOR SHARE
                 ), acked AS (
                     SELECT * FROM unnest($4::int[], $5::bigint[], $6::bigint[]) AS a (partition, low, high)
                 ), lost AS MATERIALIZED (
                     SELECT FROM term
                     WHERE $7 OR EXISTS (SELECT FROM acked a JOIN topic_offsets t ON t.partition = a.partition
                                         WHERE a.low <= t.acked_offset)
                 ), published AS (
                     DELETE FROM outbox
                     WHERE EXISTS (SELECT FROM term) AND ctid = ANY (ARRAY(
                         SELECT (SELECT o.ctid FROM outbox o WHERE o.order_id = p.order_id AND o.version = p.version)
                         FROM unnest($2::uuid[], $3::bigint[]) AS p (order_id, version)))
                 ), noted AS (
                     INSERT INTO topic_offsets (partition, acked_offset)
                     SELECT partition, high FROM acked WHERE EXISTS (SELECT FROM term)
                     ON CONFLICT (partition) DO UPDATE SET acked_offset = excluded.acked_offset
                 ), stale AS (
                     DELETE FROM topic_offsets WHERE partition <> ALL ($4) AND EXISTS (SELECT FROM lost)
                 ), renewed AS (
                     UPDATE topic_log SET topic_epoch = topic_epoch + 1 WHERE EXISTS (SELECT FROM lost)
                 )
                 SELECT EXISTS (SELECT FROM term), EXISTS (SELECT FROM lost)",
            )
            .bind(lease.epoch)
            .bind(&acks.keys)
            .bind(&acks.versions)
            .bind(partitions)
            .bind(lows)
            .bind(highs)
            .bind(is_lost)
            .fetch_one(&mut *connection),
        )
        .await;
        self.deletes += acks.keys.len() as u64;
        connection.end(result)
    }

    /// How many there are.
    pub async fn count(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&self.pool)).await
    }

    /// Vacuums where that is due.
    pub async fn vacuum_at_times(&mut self) {
        if self.deletes < DELETES_PER_VACUUM {
            return;
        }
        self.deletes = 0;
        if let Err(error) = bounded(sqlx::query("VACUUM outbox").execute(&self.pool)).await {
            warn!("the outbox was not vacuumed: {error}");
        }
    }
}
