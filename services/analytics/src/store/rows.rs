//! Sums as columns of a wide statement.

mod jobs;
mod moves;

use std::collections::BTreeMap;

use comanda_kit::postgres::StoreError;
use sqlx::{Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

pub use self::{jobs::jobs, moves::moves};
use crate::{durations::Merger, event::Topic, fold::Gate};

/// The row of a statement, from 1, and the histogram that it has stored.
pub type Stored = (i64, Vec<u8>);

/// The histograms of a statement's rows, as they are stored.
pub type Encoded = Vec<Option<Vec<u8>>>;

/// The histograms of rows as they are to be stored: what is stored, and these durations in microseconds.
pub fn histograms(added: &[Vec<i64>], stored: Vec<Stored>) -> Result<Encoded, StoreError> {
    let mut before = vec![None; added.len()];
    for (row, bytes) in stored {
        let place = usize::try_from(row - 1).ok().and_then(|index| before.get_mut(index));
        let place = place.ok_or_else(|| StoreError::Unreadable("a row that was not asked for".into()))?;
        *place = Some(bytes);
    }
    let mut merger = Merger::default();
    let histogram = |(durations, before): (&Vec<i64>, Option<Vec<u8>>)| {
        if durations.is_empty() {
            return Ok(None);
        }
        let mut all = before.map(|bytes| merger.read(&bytes)).transpose()?.unwrap_or_default();
        durations.iter().for_each(|microseconds| all.record(*microseconds));
        Ok(Some(all.encode()))
    };
    added.iter().zip(before).map(histogram).collect()
}

/// The statement that lets gates pass.
pub fn gates(generation: i32, topic: Topic, gates: &BTreeMap<Uuid, Gate>) -> Query<'static, Postgres, PgArguments> {
    let order_ids: Vec<_> = gates.keys().copied().collect();
    let versions: Vec<_> = gates.values().map(|gate| gate.version).collect();
    let end_times: Vec<_> = gates.values().map(|gate| gate.end_time).collect();
    sqlx::query(
        "INSERT INTO gates AS g (generation, topic, order_id, version, end_time)
         SELECT $1::integer, $2::smallint, k.order_id, k.version, k.end_time
         FROM unnest($3::uuid[], $4::bigint[], $5::timestamptz[]) AS k (order_id, version, end_time)
         ON CONFLICT (generation, topic, order_id) DO UPDATE
         SET version = excluded.version, end_time = coalesce(excluded.end_time, g.end_time)",
    )
    .bind(generation)
    .bind(topic as i16)
    .bind(order_ids)
    .bind(versions)
    .bind(end_times)
}
