//! All SQL of the state machine; writes, timers, workflows, the outbox and what is read before an order moves have files of their own. Every write is one statement. Batches are
//! sorted by order id and applied in that order, so that overlapping ones do not deadlock.
//!
//! What a caller can reach takes the caller's [`Scope`]: an order of another tenant is answered like one that does not exist.

mod adopt;
mod facts;
mod find;
mod fire;
pub(crate) mod operator;
mod outbox;
mod workflows;
mod write;

use std::time::Duration;

use comanda_kit::{
    access::Scope,
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded},
    relay::Kept,
};
use comanda_proto::{
    transition_columns,
    v1::{OrderTransition, Trigger},
    views::TransitionRow,
};
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use self::facts::{Facts, Known};
pub use self::{
    find::{Found, Key},
    fire::Due,
    workflows::{Chooser, Current, Stored},
};
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
    pub status_time: OffsetDateTime,
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
    pub start_time: Option<OffsetDateTime>,
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
    pub request: Option<Asked>,
}

/// A command with its request id, as the caller sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Made by the caller for this command.
    pub request_id: Uuid,
    /// Which command it is.
    pub trigger: Trigger,
    /// The status it names; empty where it names none.
    pub status: String,
}

/// A command that was answered before.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The command.
    pub asked: Asked,
    /// Version of the transition that it was answered with.
    pub version: i64,
}

/// Access to the schema.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    dedicated: Dedicated,
    /// For histories that callers ask for.
    calls: Dedicated,
    /// Replaces the delay of every timer.
    step: Option<Duration>,
    kept: Kept,
    known: Known,
}

impl Store {
    /// `step`, if given, replaces the delay of every timer, when a due time is computed.
    pub fn new(pool: PgPool, step: Option<Duration>) -> Self {
        let (dedicated, calls) = (Dedicated::new(&pool, Commit::Durable), Dedicated::for_calls(&pool));
        Self { dedicated, calls, pool, step, kept: Kept::new(0), known: Known::new(0) }
    }

    /// Keeps what it writes for the relay, and in so many bytes what that needs to know of orders.
    #[must_use]
    pub fn with_kept(self, kept: Kept, known_bytes: usize) -> Self {
        Self { kept, known: Known::new(known_bytes), ..self }
    }

    /// Milliseconds that an order stays by itself; `None` is for ever.
    fn dwell_ms(&self, dwell: Dwell) -> Option<i64> {
        match dwell {
            Dwell::For(delay) | Dwell::AfterStart(delay) => i64::try_from(self.step.unwrap_or(delay).as_millis()).ok(),
            Dwell::Forever | Dwell::Ended => None,
        }
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

    /// How many timers have run out and not fired, counted up to `most`.
    pub async fn due_count(&self, most: i64) -> Result<i64, StoreError> {
        let statement = "SELECT count(*) FROM (SELECT FROM states WHERE due_at <= now() LIMIT $1) AS due";
        bounded(sqlx::query_scalar(statement).bind(most).fetch_one(&self.pool)).await
    }

    /// What orders were placed with, those that exist, whatever their tenant.
    pub async fn placed(&self, order_ids: &[Uuid]) -> Result<Vec<Placed>, StoreError> {
        self.placed_of(&vec![None; order_ids.len()], order_ids).await
    }

    /// What orders were placed with, those that exist and are of their key's tenant.
    pub async fn placed_for(&self, keys: &[Key<'_>]) -> Result<Vec<Placed>, StoreError> {
        let (tenants, order_ids): (Vec<_>, Vec<_>) = keys.iter().map(|key| (Some(key.tenant), key.order_id)).unzip();
        self.placed_of(&tenants, &order_ids).await
    }

    async fn placed_of(&self, tenants: &[Option<&str>], order_ids: &[Uuid]) -> Result<Vec<Placed>, StoreError> {
        let statement = || {
            sqlx::query_as(
                "SELECT f.order_id, f.workflow, f.workflow_revision, f.first_status, f.create_time, f.start_time
                 FROM unnest($1::text[], $2::uuid[]) AS k (tenant, order_id)
                 CROSS JOIN LATERAL (
                     SELECT f.order_id, f.tenant, f.workflow, f.workflow_revision, f.first_status, f.create_time, f.start_time
                     FROM ordering.order_facts f
                     WHERE f.order_id = k.order_id
                     LIMIT 1
                 ) f
                 WHERE k.tenant IS NULL OR f.tenant = k.tenant",
            )
            .bind(tenants)
            .bind(order_ids)
        };
        self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }

    /// An order's history after a version, oldest first.
    pub async fn history(
        &self,
        scope: &Scope,
        order_id: Uuid,
        after_version: i64,
        limit: i64,
    ) -> Result<Vec<OrderTransition>, StoreError> {
        let statement = || {
            sqlx::query_as(concat!(
                "SELECT ",
                transition_columns!(),
                " FROM order_history h
                 WHERE h.order_id = $2 AND h.tenant = $1 AND h.version > $3
                 ORDER BY h.version
                 LIMIT $4",
            ))
            .bind(scope.tenant())
            .bind(order_id)
            .bind(after_version)
            .bind(limit)
        };
        let rows: Vec<TransitionRow> =
            self.calls.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Single transitions, by order and version; those that do not exist are left out.
    pub async fn transitions(&self, order_ids: &[Uuid], versions: &[i64]) -> Result<Vec<TransitionRow>, StoreError> {
        // The inner limit keeps the order of the join: without statistics Postgres would read the whole history first.
        let statement = || {
            sqlx::query_as(concat!(
                "SELECT ",
                transition_columns!(),
                " FROM unnest($1::uuid[], $2::bigint[]) AS o (order_id, version)
                 CROSS JOIN LATERAL (
                     SELECT ",
                transition_columns!(),
                "    FROM order_history h WHERE h.order_id = o.order_id AND h.version = o.version LIMIT 1
                 ) h",
            ))
            .bind(order_ids)
            .bind(versions)
        };
        self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }

    /// The epoch of ordering's topic.
    pub async fn orders_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM ordering.log_epoch").fetch_one(&self.pool)).await
    }
}
