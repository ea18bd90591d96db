//! How far each partition is counted.

use std::collections::BTreeMap;

use comanda_kit::postgres::{StoreError, bounded};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::Store;
use crate::event::Topic;

/// How far a partition is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The next record to count.
    pub next_offset: i64,
    /// When the newest event happened that was counted, if one was.
    pub event_time: Option<OffsetDateTime>,
}

/// How far the numbers have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct FoldState {
    /// Everything that was published before is counted; `None` until both topics were looked at.
    pub fold_time: Option<OffsetDateTime>,
    /// How many records are not counted, as of the last look.
    pub waiting_records: i64,
}

/// Notes how far partitions are counted; false where another log is read now. A record that was published again happened long ago, and nobody's
/// clock makes a time come early.
pub async fn advance(
    connection: &mut PgConnection,
    topic: Topic,
    topic_epoch: i64,
    places: &BTreeMap<i32, Place>,
) -> Result<bool, StoreError> {
    let statement = sqlx::query(
        "UPDATE offsets o
         SET next_offset = k.next_offset, end_offset = greatest(o.end_offset, k.next_offset),
             fold_time = CASE WHEN k.event_time IS NULL THEN o.fold_time
                              ELSE greatest(o.fold_time, least(k.event_time, now())) END
         FROM unnest($3::integer[], $4::bigint[], $5::timestamptz[]) AS k (partition, next_offset, event_time)
         WHERE o.topic = $1 AND o.topic_epoch = $2 AND o.partition = k.partition",
    );
    let next_offsets: Vec<_> = places.values().map(|place| place.next_offset).collect();
    let event_times: Vec<_> = places.values().map(|place| place.event_time).collect();
    let partitions: Vec<_> = places.keys().copied().collect();
    let statement =
        statement.bind(topic.name()).bind(topic_epoch).bind(partitions).bind(next_offsets).bind(event_times);
    let updated = bounded(statement.execute(connection)).await?.rows_affected();
    Ok(updated == places.len() as u64)
}

impl Store {
    /// The next offset of each partition of a log that was read before.
    pub async fn next_offsets(&self, topic: Topic, topic_epoch: i64) -> Result<BTreeMap<i32, i64>, StoreError> {
        let statement =
            sqlx::query_as("SELECT partition, next_offset FROM offsets WHERE topic = $1 AND topic_epoch = $2");
        let rows: Vec<(i32, i64)> =
            bounded(statement.bind(topic.name()).bind(topic_epoch).fetch_all(&self.numbers)).await?;
        Ok(rows.into_iter().collect())
    }

    /// Notes where a log is read from; false under a newer lease. Partitions that the log does not have are forgotten.
    pub async fn begin_log(
        &self,
        lease_epoch: i64,
        topic: Topic,
        topic_epoch: i64,
        starts: &BTreeMap<i32, i64>,
    ) -> Result<bool, StoreError> {
        let (partitions, offsets): (Vec<_>, Vec<_>) =
            starts.iter().map(|(partition, start)| (*partition, *start)).unzip();
        let statement = sqlx::query_scalar(
            "WITH led AS (SELECT epoch FROM lease WHERE epoch = $1 FOR SHARE),
                  forgotten AS (
                      DELETE FROM offsets
                      WHERE topic = $2 AND partition <> ALL ($4::integer[]) AND EXISTS (SELECT FROM led)
                  ),
                  begun AS (
                      INSERT INTO offsets AS o (topic, partition, topic_epoch, next_offset, end_offset)
                      SELECT $2::text, k.partition, $3::bigint, k.start, k.start
                      FROM unnest($4::integer[], $5::bigint[]) AS k (partition, start)
                      WHERE EXISTS (SELECT FROM led)
                      ON CONFLICT (topic, partition) DO UPDATE
                      SET topic_epoch = excluded.topic_epoch, next_offset = excluded.next_offset, end_offset = excluded.end_offset
                      WHERE o.topic_epoch <> excluded.topic_epoch OR o.next_offset < excluded.next_offset
                  )
             SELECT EXISTS (SELECT FROM led)",
        );
        let statement = statement.bind(lease_epoch).bind(topic.name()).bind(topic_epoch).bind(partitions).bind(offsets);
        bounded(statement.fetch_one(&self.numbers)).await
    }

    /// The database's time.
    pub async fn now(&self) -> Result<OffsetDateTime, StoreError> {
        bounded(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.numbers)).await
    }

    /// Notes where partitions ended after `time`: those that are counted up to there are complete up to that time. False under a newer lease.
    pub async fn note_ends(
        &self,
        lease_epoch: i64,
        topic: Topic,
        topic_epoch: i64,
        time: OffsetDateTime,
        ends: &BTreeMap<i32, i64>,
    ) -> Result<bool, StoreError> {
        let (partitions, ends): (Vec<_>, Vec<_>) = ends.iter().map(|(partition, end)| (*partition, *end)).unzip();
        let statement = sqlx::query_scalar(
            "WITH led AS (SELECT epoch FROM lease WHERE epoch = $1 FOR SHARE),
                  noted AS (
                      UPDATE offsets o
                      SET end_offset = k.end_offset,
                          fold_time = CASE WHEN o.next_offset >= k.end_offset THEN greatest(o.fold_time, $6) ELSE o.fold_time END
                      FROM unnest($4::integer[], $5::bigint[]) AS k (partition, end_offset)
                      WHERE o.topic = $2 AND o.topic_epoch = $3 AND o.partition = k.partition AND EXISTS (SELECT FROM led)
                  )
             SELECT EXISTS (SELECT FROM led)",
        );
        let statement = statement.bind(lease_epoch).bind(topic.name()).bind(topic_epoch).bind(partitions).bind(ends);
        bounded(statement.bind(time).fetch_one(&self.numbers)).await
    }

    /// How far the numbers have come.
    pub async fn fold_state(&self) -> Result<FoldState, StoreError> {
        let statement = sqlx::query_as(
            "SELECT CASE WHEN count(*) = count(fold_time) AND count(DISTINCT topic) = $1 THEN min(fold_time) END AS fold_time,
                    coalesce(sum(greatest(end_offset - next_offset, 0)), 0)::bigint AS waiting_records
             FROM offsets",
        );
        bounded(statement.bind(Topic::ALL.len() as i64).fetch_one(&self.numbers)).await
    }
}
