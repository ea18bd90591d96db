//! The outbox's table: rows of pointers to what is not published yet.

use std::sync::Mutex;

use metrics::counter;
use sqlx::{FromRow, PgPool};
use tracing::warn;
use uuid::Uuid;

use super::{
    acks::Reach,
    finality::Horizon,
    gone::Gone,
    outbox::Pointer,
    rows::{Page, Place, Row},
};
use crate::{
    dedicated::{Commit, Dedicated},
    lease::Lease,
    planted, planted_sql,
    postgres::{StoreError, bounded},
};

/// After how many deleted rows the outbox is vacuumed: the index is read from the end at which its dead entries are.
const DELETES_PER_VACUUM: usize = 5_000;
/// How many rows are read at once ..
const MOST_ROWS: i64 = 1000;
/// .. and after how many pointers no further row is: later versions of the same keys are among them.
const ENOUGH_POINTERS: i64 = 4000;

/// The rows in the schema that the pool sees as its own.
pub struct Pointers {
    pool: PgPool,
    /// Relaxed: after a crash that undoes a delete the record is published once more.
    dedicated: Dedicated,
    deletes: usize,
}

#[derive(FromRow)]
struct TableRow {
    seq: i64,
    order_ids: Vec<Uuid>,
    versions: Vec<i64>,
    front: i64,
}

impl Pointers {
    /// Those that `pool` sees.
    pub fn new(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), dedicated: Dedicated::new(pool, Commit::Relaxed), deletes: 0 }
    }

    /// The lowest rows behind `after`.
    pub async fn page(&self, after: Option<i64>) -> Result<Page, StoreError> {
        let statement = sqlx::query_as(planted_sql!(
            "SELECT seq, order_ids, versions, (SELECT min(seq) FROM outbox) AS front
             FROM (
                 SELECT seq, order_ids, versions, sum(cardinality(order_ids)) OVER (ORDER BY seq) AS pointers
                 FROM outbox
                 WHERE seq > $2
                 ORDER BY seq
                 LIMIT $1
             ) o
             WHERE pointers - cardinality(order_ids) < $3",
            "relay-highest-version-first": "ORDER BY seq" => "ORDER BY seq DESC",
        ));
        let statement = statement.bind(MOST_ROWS).bind(after.unwrap_or(i64::MIN)).bind(ENOUGH_POINTERS);
        let mut connection = self.dedicated.take().await?;
        let rows = bounded(statement.fetch_all(&mut *connection)).await;
        let mut page = page(connection.end(rows)?);
        if planted!("outbox-by-cursor") {
            pass_by_cursor(&mut page.rows);
        }
        Ok(page)
    }

    /// What is known of numbers that were drawn and transactions that run.
    pub async fn horizon(&self) -> Result<Horizon, StoreError> {
        let statement = sqlx::query_as(
            "SELECT last_value AS drawn,
                    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
                    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_id
             FROM outbox_seq_seq",
        );
        bounded(statement.fetch_one(&self.pool)).await
    }

    /// Deletes pointers whose records do not exist, counts them and says so. False if we do not lead any more (then it did nothing).
    pub async fn drop_dangling(&mut self, lease: Lease, topic: &str, dangling: &[Place]) -> Result<bool, StoreError> {
        let Some(Place { pointer: first, .. }) = dangling.first() else { return Ok(true) };
        let (leads, _) = self.forget(lease, &Gone::of(dangling), &Reach::new(), false).await?;
        if leads {
            let deleted = dangling.len();
            counter!("comanda_dangling_pointers_total", "topic" => topic.to_owned()).increment(deleted as u64);
            warn!(topic, deleted, order_id = %first.key, version = first.version, "pointers without a record were deleted; the first is named here");
        }
        Ok(leads)
    }

    /// Deletes pointers that are gone, and notes how far each partition was acked, in one statement. A row that has others is written again
    /// with those and keeps its place. Returns whether we still lead (else it did nothing), and whether a log was lost: as these acks show,
    /// or as `is_lost` says.
    ///
    /// No table is joined: the planner takes an outbox that was vacuumed while it was empty for empty, and would read it whole for each row.
    pub async fn forget(
        &mut self,
        lease: Lease,
        gone: &Gone,
        reach: &Reach,
        is_lost: bool,
    ) -> Result<(bool, bool), StoreError> {
        let partitions: Vec<i32> = reach.keys().copied().collect();
        let (lows, highs): (Vec<i64>, Vec<i64>) = reach.values().copied().unzip();
        let mut connection = self.dedicated.take().await?;
        let result = bounded(
            sqlx::query_as(planted_sql!(
                "WITH term AS MATERIALIZED (
                     SELECT FROM lease WHERE epoch = $1 FOR SHARE
                 ), acked AS (
                     SELECT partition, low, high FROM unnest($6::int[], $7::bigint[], $8::bigint[]) AS a (partition, low, high)
                 ), lost AS MATERIALIZED (
                     SELECT FROM term
                     WHERE $9 OR EXISTS (SELECT FROM acked a JOIN topic_offsets t ON t.partition = a.partition
                                         WHERE a.low <= t.acked_offset)
                 ), finished AS (
                     DELETE FROM outbox WHERE seq = ANY ($2) AND EXISTS (SELECT FROM term)
                 ), started AS (
                     DELETE FROM outbox WHERE seq = ANY ($3) AND EXISTS (SELECT FROM term)
                     RETURNING seq, order_ids, versions, create_time
                 ), kept AS (
                     INSERT INTO outbox (seq, order_ids, versions, create_time)
                     SELECT s.seq, array_agg(p.order_id ORDER BY p.place), array_agg(p.version ORDER BY p.place), s.create_time
                     FROM started s
                     CROSS JOIN LATERAL unnest(s.order_ids, s.versions) WITH ORDINALITY AS p (order_id, version, place)
                     WHERE (s.seq, p.order_id, p.version) NOT IN (
                         SELECT seq, order_id, version FROM unnest($3, $4::uuid[], $5::bigint[]) AS g (seq, order_id, version)
                     )
                     GROUP BY s.seq, s.create_time
                 ), noted AS (
                     INSERT INTO topic_offsets (partition, acked_offset)
                     SELECT partition, high FROM acked WHERE EXISTS (SELECT FROM term)
                     ON CONFLICT (partition) DO UPDATE SET acked_offset = excluded.acked_offset
                 ), stale AS (
                     DELETE FROM topic_offsets WHERE partition <> ALL ($6) AND EXISTS (SELECT FROM lost)
                 ), renewed AS (
                     UPDATE topic_log SET topic_epoch = topic_epoch + 1 WHERE EXISTS (SELECT FROM lost)
                 )
                 SELECT EXISTS (SELECT FROM term), EXISTS (SELECT FROM lost)",
                "outbox-row-deleted-with-unacked-record":
                    "WHERE (s.seq, p.order_id, p.version) NOT IN" => "WHERE false AND (s.seq, p.order_id, p.version) NOT IN",
            ))
            .bind(lease.epoch)
            .bind(&gone.finished)
            .bind(&gone.seqs)
            .bind(&gone.order_ids)
            .bind(&gone.versions)
            .bind(partitions)
            .bind(lows)
            .bind(highs)
            .bind(is_lost)
            .fetch_one(&mut *connection),
        )
        .await;
        self.deletes += gone.finished.len() + gone.seqs.len();
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

fn page(rows: Vec<TableRow>) -> Page {
    let pointers: usize = rows.iter().map(|row| row.order_ids.len()).sum();
    let is_last = rows.len() < MOST_ROWS as usize && pointers < ENOUGH_POINTERS as usize;
    let front = rows.first().map_or(0, |row| row.front);
    let pointer = |(key, version)| Pointer { key, version };
    let row = |row: TableRow| Row {
        seq: row.seq,
        pointers: row.order_ids.into_iter().zip(row.versions).map(pointer).collect(),
    };
    Page { rows: rows.into_iter().map(row).collect(), is_last, front }
}

/// Only for a planted bug: leaves out what lies before the highest row that was ever read.
fn pass_by_cursor(rows: &mut Vec<Row>) {
    static CURSOR: Mutex<i64> = Mutex::new(i64::MIN);
    let mut cursor = CURSOR.lock().expect("no holder panics");
    rows.retain(|row| row.seq > *cursor);
    *cursor = rows.last().map_or(*cursor, |row| row.seq);
}
