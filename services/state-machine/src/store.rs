//! All SQL of the state machine; what is written and what is published have files of their own. Every write is one statement; batches
//! come sorted by order id and are applied in that order, so that overlapping ones can not deadlock.

mod outbox;
mod workflows;
mod write;

use std::time::Duration;

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    planted_sql,
    postgres::{StoreError, bounded},
};
use comanda_proto::{
    v1::{OrderTransition, Trigger},
    views::TransitionRow,
};
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::machine::{Dwell, Step};

/// The schema that this service alone writes.
pub const SCHEMA: &str = "state_machine";

/// An order's place in its workflow.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct State {
    pub order_id: Uuid,
    pub version: i64,
    pub status: String,
    pub workflow: String,
    pub workflow_revision: i32,
}

/// What an order was placed with.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Placed {
    pub order_id: Uuid,
    pub workflow: String,
    pub workflow_revision: i32,
    pub first_status: String,
    pub create_time: OffsetDateTime,
}

/// A transition to write, if the order still is where the decision was made.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Move {
    pub from: State,
    pub step: Step,
    pub trigger: Trigger,
    pub actor: String,
    pub reason: String,
    pub request_id: Option<Uuid>,
}

/// A due order, and how late it is found.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Due {
    #[sqlx(flatten)]
    pub state: State,
    pub due_at: OffsetDateTime,
    pub late_seconds: f64,
}

/// Access to the schema.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    dedicated: Dedicated,
    /// Replaces the delay of every timer.
    step: Option<Duration>,
}

impl Store {
    /// `step`, if given, replaces the delay of every timer, when a due time is computed.
    pub fn new(pool: PgPool, step: Option<Duration>) -> Self {
        Self { dedicated: Dedicated::new(&pool, Commit::Durable), pool, step }
    }

    /// Milliseconds that an order stays by itself; `None` is for ever.
    fn dwell_ms(&self, dwell: Dwell) -> Option<i64> {
        match dwell {
            Dwell::For(delay) => i64::try_from(self.step.unwrap_or(delay).as_millis()).ok(),
            Dwell::Forever | Dwell::Ended => None,
        }
    }

    /// Orders whose timer ran out, the longest due first. `after` leaves out what was due up to then.
    pub async fn due(&self, after: Option<OffsetDateTime>, limit: i64) -> Result<Vec<Due>, StoreError> {
        let mut connection = self.dedicated.take().await?;
        let due = bounded(
            sqlx::query_as(planted_sql!(
                "SELECT order_id, version, status, workflow, workflow_revision, due_at,
                        extract(epoch FROM now() - due_at)::float8 AS late_seconds
                 FROM states
                 WHERE due_at <= now() AND due_at > coalesce($1, '-infinity')
                 ORDER BY due_at
                 LIMIT $2",
                "timers-by-skewed-clock": "due_at <= now()" => "due_at <= now() + interval '0.2 seconds'",
            ))
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *connection),
        )
        .await;
        connection.end(due)
    }

    /// Seconds until the next timer runs out, if there is one.
    pub async fn next_due_seconds(&self, after: Option<OffsetDateTime>) -> Result<Option<f64>, StoreError> {
        bounded(
            sqlx::query_scalar(
                "SELECT extract(epoch FROM due_at - clock_timestamp())::float8
                 FROM states
                 WHERE due_at > coalesce($1, '-infinity') AND due_at < 'infinity'
                 ORDER BY due_at
                 LIMIT 1",
            )
            .bind(after)
            .fetch_optional(&self.pool),
        )
        .await
    }

    /// How many timers have run out and not fired.
    pub async fn due_count(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT count(*) FROM states WHERE due_at <= now()").fetch_one(&self.pool)).await
    }

    /// An order's state, and the version that an earlier command with this request id led to.
    pub async fn state(
        &self,
        order_id: Uuid,
        request_id: Option<Uuid>,
    ) -> Result<Option<(State, Option<i64>)>, StoreError> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            state: State,
            replayed: Option<i64>,
        }
        let row: Option<Row> = bounded(
            sqlx::query_as(
                "SELECT s.order_id, s.version, s.status, s.workflow, s.workflow_revision, t.version AS replayed
                 FROM states s
                 LEFT JOIN transitions t ON t.order_id = s.order_id AND t.request_id = $2
                 WHERE s.order_id = $1",
            )
            .bind(order_id)
            .bind(request_id)
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.map(|row| (row.state, row.replayed)))
    }

    /// What orders were placed with, those that exist.
    pub async fn placed(&self, order_ids: &[Uuid]) -> Result<Vec<Placed>, StoreError> {
        bounded(
            sqlx::query_as(
                "SELECT f.order_id, f.workflow, f.workflow_revision, f.first_status, f.create_time
                 FROM unnest($1::uuid[]) AS k (order_id)
                 CROSS JOIN LATERAL (SELECT * FROM ordering.order_facts f WHERE f.order_id = k.order_id LIMIT 1) f",
            )
            .bind(order_ids)
            .fetch_all(&self.pool),
        )
        .await
    }

    /// An order's history after a version, oldest first.
    pub async fn history(
        &self,
        order_id: Uuid,
        after_version: i64,
        limit: i64,
    ) -> Result<Vec<OrderTransition>, StoreError> {
        let rows: Vec<TransitionRow> = bounded(
            sqlx::query_as(
                "SELECT * FROM order_history
                 WHERE order_id = $1 AND version > $2
                 ORDER BY version
                 LIMIT $3",
            )
            .bind(order_id)
            .bind(after_version)
            .bind(limit)
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// The epoch of ordering's topic.
    pub async fn orders_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM ordering.log_epoch").fetch_one(&self.pool)).await
    }
}
