//! One transaction: a batch is counted with its offsets, or not at all.

use std::collections::BTreeMap;

use comanda_kit::{
    dedicated::Taken,
    postgres::{StoreError, bounded},
};
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::{
    Place, Store,
    offsets::advance,
    rows::{gates, histograms, jobs, moves},
};
use crate::{
    event::Topic,
    fold::{Changes, JobSums, MoveSums},
    gates::Gates,
};

/// A transaction that holds the generations that it counts into. Dropped before [`Unit::commit`], it is undone with its connection.
#[derive(Debug)]
pub struct Unit {
    connection: Taken,
    /// The generations, in their order.
    pub generations: Vec<i32>,
}

impl Store {
    /// Begins to count into every generation.
    pub async fn begin(&self) -> Result<Unit, StoreError> {
        let mut connection = self.folding.take().await?;
        bounded(connection.execute("BEGIN")).await?;
        let held = "SELECT generation FROM generations ORDER BY generation FOR UPDATE";
        let generations = bounded(sqlx::query_scalar(held).fetch_all(&mut *connection)).await?;
        Ok(Unit { connection, generations })
    }

    /// Begins to count into the generation that is being built; `None` where it is no longer.
    pub async fn begin_building(&self, generation: i32) -> Result<Option<Unit>, StoreError> {
        let mut connection = self.folding.take().await?;
        bounded(connection.execute("BEGIN")).await?;
        let held = "SELECT generation FROM generations WHERE generation = $1 AND state = 1 FOR UPDATE";
        let held = sqlx::query_scalar(held).bind(generation);
        let generations: Vec<i32> = bounded(held.fetch_all(&mut *connection)).await?;
        Ok((!generations.is_empty()).then_some(Unit { connection, generations }))
    }
}

impl Unit {
    /// Its connection, for the other statements of the transaction.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// The last counted versions of orders, of those that have one.
    pub async fn gates(&mut self, generation: i32, topic: Topic, order_ids: &[Uuid]) -> Result<Gates, StoreError> {
        let statement = sqlx::query_as(
            "SELECT g.order_id, g.version
             FROM unnest($3::uuid[]) AS k (order_id)
             CROSS JOIN LATERAL (
                 SELECT g.order_id, g.version FROM gates g
                 WHERE g.generation = $1 AND g.topic = $2 AND g.order_id = k.order_id
                 LIMIT 1
             ) g",
        );
        let statement = statement.bind(generation).bind(topic as i16).bind(order_ids);
        let rows: Vec<(Uuid, i64)> = bounded(statement.fetch_all(&mut *self.connection)).await?;
        Ok(rows.into_iter().collect())
    }

    /// Adds what a batch changes.
    pub async fn add(&mut self, generation: i32, topic: Topic, changes: Changes<'_>) -> Result<(), StoreError> {
        let Changes { moves: moved, jobs: jobs_done, gates: passed } = changes;
        bounded(gates(generation, topic, &passed).execute(&mut *self.connection)).await?;
        self.add_moves(generation, moved).await?;
        self.add_jobs(generation, jobs_done).await
    }

    async fn add_moves(
        &mut self,
        generation: i32,
        changes: BTreeMap<crate::fold::MoveKey<'_>, MoveSums>,
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let rows = moves(changes);
        let stored = bounded(rows.stored(generation).fetch_all(&mut *self.connection)).await?;
        let histograms = histograms(rows.durations(), stored)?;
        bounded(rows.upsert(generation, &histograms).execute(&mut *self.connection)).await.map(drop)
    }

    async fn add_jobs(
        &mut self,
        generation: i32,
        changes: BTreeMap<crate::fold::JobKey<'_>, JobSums>,
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let rows = jobs(changes);
        let stored = bounded(rows.stored(generation).fetch_all(&mut *self.connection)).await?;
        let histograms = histograms(rows.durations(), stored)?;
        bounded(rows.upsert(generation, &histograms).execute(&mut *self.connection)).await.map(drop)
    }

    /// Notes how far the partitions of a log are counted and commits, if the lease still has this epoch and the log is still read. Otherwise
    /// false, and nothing is counted.
    pub async fn commit_as_leader(
        mut self,
        lease_epoch: i64,
        topic: Topic,
        topic_epoch: i64,
        places: &BTreeMap<i32, Place>,
    ) -> Result<bool, StoreError> {
        // Only here, so that the lease can be renewed meanwhile: no other replica can take it from now until the commit.
        let led = sqlx::query_scalar("SELECT true FROM lease WHERE epoch = $1 FOR SHARE").bind(lease_epoch);
        let led: Option<bool> = bounded(led.fetch_optional(&mut *self.connection)).await?;
        let is_read = advance(&mut self.connection, topic, topic_epoch, places).await?;
        if led.is_none() || !is_read {
            return Ok(false);
        }
        self.commit().await?;
        Ok(true)
    }

    /// Commits.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let committed = bounded(self.connection.execute("COMMIT")).await.map(drop);
        self.connection.end(committed)
    }
}
