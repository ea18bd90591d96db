//! Records that could be neither applied nor looked up: kept for an operator, out of the way of the others.

use metrics::counter;
use sqlx::PgPool;
use tracing::error;

use crate::{
    kafka::Record,
    postgres::{StoreError, bounded},
};

/// Keeps a record, with the reason, in the schema that `pool` sees as its own. Parking it again changes nothing.
pub async fn store(pool: &PgPool, topic_epoch: i64, record: &Record, reason: &str) -> Result<(), StoreError> {
    let Record { topic, partition, offset, key, payload } = record;
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
