//! The operator's SQL: it spans the schemas, as no service's does. Each statement takes a chunk, so that none runs long.

use anyhow::Result;
use comanda_kit::postgres::{self, Config, StoreError, bounded};
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// Orders that one statement looks at.
const CHUNK: i64 = 2_000;

/// Access to every schema.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

/// How far a walk over the orders has come.
#[derive(Clone, Copy, Debug, Default, FromRow)]
pub struct Progress {
    /// The last order looked at; `None` at the end.
    pub last: Option<Uuid>,
    /// Orders that were changed by this chunk.
    pub orders: i64,
}

/// Which orders to publish again.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// All.
    All,
    /// Those created at or after a time.
    Since(OffsetDateTime),
    /// One.
    Order(Uuid),
    /// Those that have not ended, or some of whose transitions have no row in the mail ledger.
    Unfinished,
}

/// A record that a consumer could not apply.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct DeadLetter {
    pub service: String,
    pub topic: String,
    pub topic_epoch: i64,
    pub partition: i32,
    pub offset: i64,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    pub reason: String,
    pub dead_letter_time: OffsetDateTime,
}

/// Counts over the whole database.
#[derive(Clone, Copy, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Counts {
    pub orders_unpublished: i64,
    pub transitions_unpublished: i64,
    pub oldest_order_seconds: f64,
    pub oldest_transition_seconds: f64,
    pub active: i64,
    pub timers_due: i64,
    pub stuck: i64,
    pub dead_letters: i64,
    pub orders_epoch: i64,
    pub transitions_epoch: i64,
}

impl Store {
    /// Connects.
    pub fn connect(config: &Config) -> Result<Self> {
        Ok(Self { pool: postgres::pool(config, "public")? })
    }

    /// Begins a new term in both services, so that a delete of theirs that is under way does not take a pointer that is put back.
    pub async fn bump_lease_epochs(&self) -> Result<(), StoreError> {
        let ordering = sqlx::query("UPDATE ordering.lease SET epoch = epoch + 1");
        bounded(ordering.execute(&self.pool)).await?;
        bounded(sqlx::query("UPDATE state_machine.lease SET epoch = epoch + 1").execute(&self.pool)).await?;
        Ok(())
    }

    /// Says that both topics have a new, empty log: readers start at its beginning.
    pub async fn bump_topic_epochs(&self) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "WITH o AS (UPDATE ordering.topic_log SET topic_epoch = topic_epoch + 1),
                  s AS (UPDATE state_machine.topic_log SET topic_epoch = topic_epoch + 1),
                  p AS (DELETE FROM ordering.topic_offsets)
             DELETE FROM state_machine.topic_offsets",
        );
        bounded(statement.execute(&self.pool)).await?;
        Ok(())
    }

    /// Puts the outbox pointers of the next orders back.
    pub async fn republish_next(&self, which: Which, after: Option<Uuid>) -> Result<Progress, StoreError> {
        let (since, order_id) = match which {
            Which::Since(since) => (Some(since), None),
            Which::Order(order_id) => (None, Some(order_id)),
            Which::All | Which::Unfinished => (None, None),
        };
        let statement = sqlx::query_as(
            "WITH chunk AS MATERIALIZED (
                 SELECT order_id, create_time
                 FROM ordering.orders
                 WHERE ($1::uuid IS NULL OR order_id > $1) AND ($2::uuid IS NULL OR order_id = $2)
                 ORDER BY order_id
                 LIMIT $5
             ), chosen AS MATERIALIZED (
                 SELECT c.order_id
                 FROM chunk c
                 LEFT JOIN state_machine.states s ON s.order_id = c.order_id
                 WHERE ($3::timestamptz IS NULL OR c.create_time >= $3)
                   AND (NOT $4 OR s.order_id IS NULL OR s.due_at IS NOT NULL OR EXISTS (
                       SELECT FROM state_machine.transitions t
                       WHERE t.order_id = c.order_id AND NOT EXISTS (
                           SELECT FROM notification.mails m WHERE m.order_id = t.order_id AND m.version = t.version)))
             ), placed AS (
                 INSERT INTO ordering.outbox (order_id, version)
                 SELECT order_id, 1 FROM chosen
                 ON CONFLICT DO NOTHING
             ), moved AS (
                 INSERT INTO state_machine.outbox (order_id, version)
                 SELECT t.order_id, t.version
                 FROM chosen c
                 CROSS JOIN LATERAL (SELECT * FROM state_machine.transitions t WHERE t.order_id = c.order_id) t
                 ON CONFLICT DO NOTHING
             )
             SELECT (SELECT order_id FROM chunk ORDER BY order_id DESC LIMIT 1) AS last, (SELECT count(*) FROM chosen) AS orders",
        );
        let statement =
            statement.bind(after).bind(order_id).bind(since).bind(matches!(which, Which::Unfinished)).bind(CHUNK);
        bounded(statement.fetch_one(&self.pool)).await
    }

    /// Removes the next orders that ended before `before`, whole, unless something of them is still to be published or mailed. With
    /// `no_mails` an order that has no mail of its last transition does not wait for one.
    pub async fn purge_next(
        &self,
        before: OffsetDateTime,
        after: Option<Uuid>,
        no_mails: bool,
    ) -> Result<Progress, StoreError> {
        let statement = sqlx::query_as(
            "WITH chunk AS MATERIALIZED (
                 SELECT order_id, version, due_at, status_time
                 FROM state_machine.states
                 WHERE $2::uuid IS NULL OR order_id > $2
                 ORDER BY order_id
                 LIMIT $3
             ), ended AS MATERIALIZED (
                 SELECT order_id
                 FROM chunk c
                 WHERE due_at IS NULL
                   AND status_time < $1
                   AND NOT EXISTS (SELECT FROM ordering.outbox o WHERE o.order_id = c.order_id)
                   AND NOT EXISTS (SELECT FROM state_machine.outbox o WHERE o.order_id = c.order_id)
                   AND ($4 OR EXISTS (SELECT FROM notification.mails m WHERE m.order_id = c.order_id AND m.version = c.version))
                   AND NOT EXISTS (SELECT FROM notification.mails m WHERE m.order_id = c.order_id AND m.state IN (1, 3))
             ), m AS (DELETE FROM notification.mails x USING ended e WHERE x.order_id = e.order_id),
                t AS (DELETE FROM state_machine.transitions x USING ended e WHERE x.order_id = e.order_id),
                r AS (DELETE FROM state_machine.requests x USING ended e WHERE x.order_id = e.order_id),
                s AS (DELETE FROM state_machine.states x USING ended e WHERE x.order_id = e.order_id),
                o AS (DELETE FROM ordering.orders x USING ended e WHERE x.order_id = e.order_id)
             SELECT (SELECT order_id FROM chunk ORDER BY order_id DESC LIMIT 1) AS last, (SELECT count(*) FROM ended) AS orders",
        );
        bounded(statement.bind(before).bind(after).bind(CHUNK).bind(no_mails).fetch_one(&self.pool)).await
    }

    /// Records that consumers could not apply, the oldest first.
    pub async fn dead_letters(&self, limit: i64) -> Result<Vec<DeadLetter>, StoreError> {
        let statement = sqlx::query_as(
            r#"SELECT 'state-machine' AS service, topic, topic_epoch, partition, "offset", key, payload, reason, dead_letter_time
               FROM state_machine.dead_letters
               UNION ALL
               SELECT 'notification', topic, topic_epoch, partition, "offset", key, payload, reason, dead_letter_time
               FROM notification.dead_letters
               ORDER BY dead_letter_time
               LIMIT $1"#,
        );
        bounded(statement.bind(limit).fetch_all(&self.pool)).await
    }

    /// Forgets a dead letter.
    pub async fn forget_dead_letter(&self, record: &DeadLetter) -> Result<(), StoreError> {
        let statement = match record.service.as_str() {
            "state-machine" => {
                r#"DELETE FROM state_machine.dead_letters WHERE topic = $1 AND topic_epoch = $2 AND partition = $3 AND "offset" = $4"#
            }
            _ => {
                r#"DELETE FROM notification.dead_letters WHERE topic = $1 AND topic_epoch = $2 AND partition = $3 AND "offset" = $4"#
            }
        };
        let statement = sqlx::query(statement);
        let statement =
            statement.bind(&record.topic).bind(record.topic_epoch).bind(record.partition).bind(record.offset);
        bounded(statement.execute(&self.pool)).await?;
        Ok(())
    }

    /// Counts what waits.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        bounded(
            sqlx::query_as(
                "SELECT
                     (SELECT count(*) FROM ordering.outbox) AS orders_unpublished,
                     (SELECT count(*) FROM state_machine.outbox) AS transitions_unpublished,
                     (SELECT coalesce(extract(epoch FROM now() - min(r.create_time)), 0)::float8
                      FROM ordering.outbox o JOIN ordering.orders r ON r.order_id = o.order_id) AS oldest_order_seconds,
                     (SELECT coalesce(extract(epoch FROM now() - min(t.transition_time)), 0)::float8
                      FROM state_machine.outbox o
                      JOIN state_machine.transitions t ON t.order_id = o.order_id AND t.version = o.version) AS oldest_transition_seconds,
                     (SELECT count(*) FROM state_machine.states WHERE due_at IS NOT NULL) AS active,
                     (SELECT count(*) FROM state_machine.states WHERE due_at <= now()) AS timers_due,
                     (SELECT count(*) FROM state_machine.states WHERE due_at < now() - interval '1 minute') AS stuck,
                     (SELECT count(*) FROM state_machine.dead_letters) + (SELECT count(*) FROM notification.dead_letters) AS dead_letters,
                     (SELECT topic_epoch FROM ordering.topic_log) AS orders_epoch,
                     (SELECT topic_epoch FROM state_machine.topic_log) AS transitions_epoch",
            )
            .fetch_one(&self.pool),
        )
        .await
    }

    /// How many mails are in each state, by its number.
    pub async fn mails_by_state(&self) -> Result<Vec<(i16, i64)>, StoreError> {
        let statement = "SELECT state, count(*) FROM notification.mails GROUP BY state ORDER BY state";
        bounded(sqlx::query_as(statement).fetch_all(&self.pool)).await
    }
}
