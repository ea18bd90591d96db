//! All SQL of the state machine; writes, timers, steps, workflows and the outbox have files of their own. Every write is one statement. Batches are
//! sorted by order id and applied in that order, so that overlapping ones do not deadlock.
//!
//! What a caller can reach takes the caller's [`Scope`]: an order of another tenant is answered like one that does not exist.

mod fire;
pub(crate) mod operator;
mod outbox;
mod steps;
mod workflows;
mod write;

use std::time::Duration;

use comanda_kit::{
    access::Scope,
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded},
};
use comanda_proto::{
    transition_columns,
    v1::{OrderTransition, Trigger},
    views::TransitionRow,
};
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::{
    fire::Fired,
    steps::{Found, StepKey},
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
    /// For what callers ask of one order.
    calls: Dedicated,
    /// Replaces the delay of every timer.
    step: Option<Duration>,
}

impl Store {
    /// `step`, if given, replaces the delay of every timer, when a due time is computed.
    pub fn new(pool: PgPool, step: Option<Duration>) -> Self {
        Self { dedicated: Dedicated::new(&pool, Commit::Durable), calls: Dedicated::for_calls(&pool), pool, step }
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

    /// An order's state, and the command of this request id if one was answered.
    pub async fn state(
        &self,
        scope: &Scope,
        order_id: Uuid,
        request_id: Option<Uuid>,
    ) -> Result<Option<(State, Option<Answered>)>, StoreError> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            state: State,
            trigger: Option<i16>,
            asked_status: Option<String>,
            answered_version: Option<i64>,
        }
        let statement = || {
            sqlx::query_as(
                "SELECT s.order_id, s.version, s.status, s.status_time, s.workflow, s.workflow_revision,
                        r.trigger, r.asked_status, r.version AS answered_version
                 FROM states s
                 LEFT JOIN requests r ON r.order_id = s.order_id AND r.request_id = $3
                 WHERE s.order_id = $2 AND s.tenant = $1",
            )
            .bind(scope.tenant())
            .bind(order_id)
            .bind(request_id)
        };
        let row = self.calls.repeated(|mut c| async { (statement().fetch_optional(&mut *c).await, c) }).await?;
        let Some(Row { state, trigger, asked_status, answered_version }) = row else { return Ok(None) };
        let answered = match (request_id, trigger, asked_status, answered_version) {
            (Some(request_id), Some(trigger), Some(status), Some(version)) => {
                let trigger = Trigger::try_from(i32::from(trigger)).unwrap_or_default();
                Some(Answered { asked: Asked { request_id, trigger, status }, version })
            }
            _ => None,
        };
        Ok(Some((state, answered)))
    }

    /// What orders were placed with, those that exist, whatever their tenant.
    pub async fn placed(&self, order_ids: &[Uuid]) -> Result<Vec<Placed>, StoreError> {
        self.placed_of(&self.dedicated, None, order_ids).await
    }

    /// What an order was placed with.
    pub async fn placed_one(&self, scope: &Scope, order_id: Uuid) -> Result<Option<Placed>, StoreError> {
        Ok(self.placed_of(&self.calls, Some(scope.tenant()), &[order_id]).await?.pop())
    }

    async fn placed_of(
        &self,
        connections: &Dedicated,
        tenant: Option<&str>,
        order_ids: &[Uuid],
    ) -> Result<Vec<Placed>, StoreError> {
        let statement = || {
            sqlx::query_as(
                "SELECT f.order_id, f.workflow, f.workflow_revision, f.first_status, f.create_time, f.start_time
                 FROM unnest($2::uuid[]) AS k (order_id)
                 CROSS JOIN LATERAL (
                     SELECT f.order_id, f.tenant, f.workflow, f.workflow_revision, f.first_status, f.create_time, f.start_time
                     FROM ordering.order_facts f
                     WHERE f.order_id = k.order_id
                     LIMIT 1
                 ) f
                 WHERE $1::text IS NULL OR f.tenant = $1",
            )
            .bind(tenant)
            .bind(order_ids)
        };
        connections.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }

    /// An order's history after a version, oldest first; that of an order out of the caller's reach is empty.
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
        let transitions = rows.into_iter().map(OrderTransition::from);
        Ok(transitions.filter(|transition| scope.reaches_customer(&transition.customer_id)).collect())
    }

    /// The epoch of ordering's topic.
    pub async fn orders_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM ordering.log_epoch").fetch_one(&self.pool)).await
    }
}
