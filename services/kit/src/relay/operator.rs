//! What an operator may ask of a service's outbox and topic.

use sqlx::PgPool;

use super::pointers::MOST_COUNTED;
use crate::postgres::{StoreError, bounded};

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

    /// Begins a new term, so that no delete that is under way takes a pointer that is put back.
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
        let statement = sqlx::query_scalar("SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) o").bind(MOST_COUNTED);
        bounded(statement.fetch_one(&self.pool)).await
    }

    /// Epoch of the topic's log.
    pub async fn topic_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM topic_log").fetch_one(&self.pool)).await
    }
}
