//! Records that a consumer could neither apply nor look up: kept for an operator, so that they do not hold up the others.

use metrics::counter;
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use tracing::error;

use crate::{
    kafka::Record,
    postgres::{StoreError, bounded},
};

/// A record that was kept.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct DeadLetter {
    pub topic: String,
    pub topic_epoch: i64,
    pub partition: i32,
    pub offset: i64,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    pub reason: String,
    pub dead_letter_time: OffsetDateTime,
}

/// Those in the schema that `pool` sees as its own, the oldest first, at most `limit`.
pub async fn list(pool: &PgPool, limit: i64) -> Result<Vec<DeadLetter>, StoreError> {
    let statement = sqlx::query_as(
        r#"SELECT topic, topic_epoch, partition, "offset", key, payload, reason, dead_letter_time
           FROM dead_letters
           ORDER BY dead_letter_time
           LIMIT $1"#,
    );
    bounded(statement.bind(limit).fetch_all(pool)).await
}

/// How many there are, counted up to `limit`.
pub async fn count(pool: &PgPool, limit: i64) -> Result<i64, StoreError> {
    let statement = sqlx::query_scalar("SELECT count(*) FROM (SELECT FROM dead_letters LIMIT $1) d").bind(limit);
    bounded(statement.fetch_one(pool)).await
}

/// Forgets one.
pub async fn forget(pool: &PgPool, letter: &DeadLetter) -> Result<(), StoreError> {
    let statement = sqlx::query(
        r#"DELETE FROM dead_letters WHERE topic = $1 AND topic_epoch = $2 AND partition = $3 AND "offset" = $4"#,
    );
    let DeadLetter { topic, topic_epoch, partition, offset, .. } = letter;
    bounded(statement.bind(topic).bind(topic_epoch).bind(partition).bind(offset).execute(pool)).await.map(drop)
}

/// Keeps a record, with the reason, in the schema that `pool` sees as its own. Keeping it again changes nothing.
pub async fn store(pool: &PgPool, topic_epoch: i64, record: &Record, reason: &str) -> Result<(), StoreError> {
    let Record { topic, partition, offset, key, payload, .. } = record;
    error!(topic, partition, offset, reason, "record stored as a dead letter; see `comanda dead-letters list`");
    counter!("comanda_dead_letters_total", "topic" => topic.clone()).increment(1);
    let statement = sqlx::query(
        r#"INSERT INTO dead_letters (topic, topic_epoch, partition, "offset", key, payload, reason)
           VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT DO NOTHING"#,
    );
    // Postgres's texts hold no NUL, and a reason may quote the record. A dead letter that cannot be stored would hold up its partition for ever.
    let reason = reason.replace('\0', "\u{fffd}");
    let values =
        statement.bind(topic).bind(topic_epoch).bind(partition).bind(offset).bind(key).bind(payload).bind(reason);
    bounded(values.execute(pool)).await?;
    Ok(())
}
