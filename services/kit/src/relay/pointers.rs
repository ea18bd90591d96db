//! The outbox's table: pointers to what is not published yet.

use std::sync::Mutex;

use metrics::counter;
use sqlx::PgPool;
use tracing::warn;
use uuid::Uuid;

use super::{acks::Acks, outbox::Pointer};
use crate::{
    dedicated::{Commit, Dedicated},
    lease::Lease,
    planted, planted_sql,
    postgres::{StoreError, bounded},
};

/// After how many deletes the outbox is vacuumed: the index is read from the end at which its dead entries are.
const DELETES_PER_VACUUM: u64 = 50_000;

/// Pointers are counted up to here: a larger outbox takes too long to count.
pub const MOST_COUNTED: i64 = 100_000;

/// The pointers in the schema that the pool sees as its own.
pub struct Pointers {
    pool: PgPool,
    /// Relaxed: after a crash that undoes a delete the record is published once more.
    dedicated: Dedicated,
    deletes: u64,
}

impl Pointers {
    /// Those that `pool` sees.
    pub fn new(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), dedicated: Dedicated::new(pool, Commit::Relaxed), deletes: 0 }
    }

    /// The lowest version of each key, by key, behind `after`.
    pub async fn next(&self, limit: i64, after: Option<Uuid>) -> Result<Vec<Pointer>, StoreError> {
        let statement = sqlx::query_as(planted_sql!(
            "SELECT DISTINCT ON (order_id) order_id, version
             FROM outbox
             WHERE order_id > $2
             ORDER BY order_id, version
             LIMIT $1",
            "relay-highest-version-first": "ORDER BY order_id, version" => "ORDER BY order_id, version DESC",
        ));
        // Every key is a UUIDv7, so all lie above the nil UUID.
        let statement = statement.bind(limit).bind(after.unwrap_or_default());
        let mut connection = self.dedicated.take().await?;
        let pointers = bounded(statement.fetch_all(&mut *connection)).await;
        let mut pointers = connection.end(pointers)?;
        if planted!("outbox-by-cursor") {
            pass_by_cursor(&mut pointers);
        }
        Ok(pointers)
    }

    /// Deletes pointers whose records do not exist, counts them and says so.
    pub async fn drop_dangling(&mut self, lease: Lease, topic: &str, dangling: &[Pointer]) -> Result<(), StoreError> {
        let Some(first) = dangling.first() else { return Ok(()) };
        let keys: Vec<_> = dangling.iter().map(|pointer| pointer.key).collect();
        let versions: Vec<_> = dangling.iter().map(|pointer| pointer.version).collect();
        let statement = sqlx::query(
            "WITH term AS MATERIALIZED (
                 SELECT FROM lease WHERE epoch = $1 FOR SHARE
             )
             DELETE FROM outbox
             WHERE EXISTS (SELECT FROM term) AND ctid = ANY (ARRAY(
                 SELECT (SELECT o.ctid FROM outbox o WHERE o.order_id = p.order_id AND o.version = p.version)
                 FROM unnest($2::uuid[], $3::bigint[]) AS p (order_id, version)))",
        );
        let statement = statement.bind(lease.epoch).bind(keys).bind(versions);
        let deleted = bounded(statement.execute(&self.pool)).await?.rows_affected();
        counter!("comanda_dangling_pointers_total", "topic" => topic.to_owned()).increment(deleted);
        warn!(topic, deleted, order_id = %first.key, version = first.version, "pointers without a record were deleted; the first is named here");
        self.deletes += deleted;
        Ok(())
    }

    /// Deletes what was acked and notes how far each partition got, in one statement. Returns whether we still lead (else it did nothing),
    /// and whether a log was lost: as these acks show, or as `is_lost` says.
    ///
    /// Rows are looked up one by one and deleted by their ctid. A join read the whole outbox for each row of the batch: the planner takes
    /// an outbox that was vacuumed while it was empty for empty, however much it holds.
    pub async fn forget(&mut self, lease: Lease, acks: &Acks, is_lost: bool) -> Result<(bool, bool), StoreError> {
        let partitions: Vec<i32> = acks.reach.keys().copied().collect();
        let (lows, highs): (Vec<i64>, Vec<i64>) = acks.reach.values().copied().unzip();
        let mut connection = self.dedicated.take().await?;
        let result = bounded(
            sqlx::query_as(
                "WITH term AS MATERIALIZED (
                     SELECT FROM lease WHERE epoch = $1 FOR SHARE
                 ), acked AS (
                     SELECT partition, low, high FROM unnest($4::int[], $5::bigint[], $6::bigint[]) AS a (partition, low, high)
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
            .bind(acks.keys())
            .bind(acks.versions())
            .bind(partitions)
            .bind(lows)
            .bind(highs)
            .bind(is_lost)
            .fetch_one(&mut *connection),
        )
        .await;
        self.deletes += acks.len() as u64;
        connection.end(result)
    }

    /// Vacuums the outbox after many deletes.
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

/// Only for a planted bug: leaves out what lies before the highest key that was ever read.
fn pass_by_cursor(pointers: &mut Vec<Pointer>) {
    static CURSOR: Mutex<Uuid> = Mutex::new(Uuid::nil());
    let mut cursor = CURSOR.lock().expect("no holder panics");
    pointers.retain(|pointer| pointer.key > *cursor);
    *cursor = pointers.last().map_or(*cursor, |pointer| pointer.key);
}
