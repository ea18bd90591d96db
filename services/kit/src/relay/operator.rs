//! What an operator may ask of a service's outbox and topic.

use std::collections::HashSet;

use sqlx::PgPool;
use uuid::Uuid;

use super::pointers::Pointers;
use crate::postgres::{StoreError, bounded};

/// Pointers are counted up to here: a larger outbox takes too long to count.
pub const MOST_COUNTED: i64 = 100_000;

/// Outbox, lease and topic of the schema that a pool sees as its own.
#[derive(Clone, Debug)]
pub struct Operator {
    pool: PgPool,
}

impl Operator {
    /// Of a schema.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Begins a new term, so that the relay reads from the head, and no delete that is under way takes a pointer that is put back.
    pub async fn begin_term(&self) -> Result<(), StoreError> {
        bounded(sqlx::query("UPDATE lease SET epoch = epoch + 1").execute(&self.pool)).await.map(drop)
    }

    /// Says that the topic has a new, empty log: readers start at its beginning.
    pub async fn begin_log(&self) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "WITH renewed AS (UPDATE topic_log SET topic_epoch = topic_epoch + 1)
             DELETE FROM topic_offsets",
        );
        bounded(statement.execute(&self.pool)).await.map(drop)
    }

    /// How many pointers wait, counted up to [`MOST_COUNTED`].
    pub async fn count(&self) -> Result<i64, StoreError> {
        let statement = sqlx::query_scalar(
            "SELECT least(coalesce(sum(cardinality(order_ids)), 0), $1)
             FROM (SELECT order_ids FROM outbox LIMIT $1) o",
        );
        bounded(statement.bind(MOST_COUNTED).fetch_one(&self.pool)).await
    }

    /// For how many seconds the first row has waited, or the first one that was not put back; 0 where there is none.
    pub async fn oldest_seconds(&self) -> Result<f64, StoreError> {
        let statement = sqlx::query_scalar(
            "SELECT coalesce(extract(epoch FROM now() - least(
                 (SELECT create_time FROM outbox ORDER BY seq LIMIT 1),
                 (SELECT create_time FROM outbox WHERE seq > 0 ORDER BY seq LIMIT 1))), 0)::float8",
        );
        bounded(statement.fetch_one(&self.pool)).await
    }

    /// The orders that pointers wait for; `None` where there are more than [`MOST_COUNTED`] pointers.
    pub async fn waiting(&self) -> Result<Option<HashSet<Uuid>>, StoreError> {
        let (pointers, mut waiting, mut after, mut count) = (Pointers::new(&self.pool), HashSet::new(), None, 0);
        loop {
            let page = pointers.page(after).await?;
            after = page.rows.last().map(|row| row.seq);
            for key in page.keys() {
                waiting.insert(key);
                count += 1;
            }
            if count > MOST_COUNTED {
                return Ok(None);
            }
            if page.is_last {
                return Ok(Some(waiting));
            }
        }
    }

    /// Epoch of the topic's log.
    pub async fn topic_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM topic_log").fetch_one(&self.pool)).await
    }
}
