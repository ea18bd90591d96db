//! All SQL of the state machine. Every write is one statement; batches come sorted by order id and are applied in that order, so that
//! overlapping ones can not deadlock.

use std::time::Duration;

use comanda_kit::{
    kafka,
    lease::Lease,
    planted_sql,
    postgres::{Problem, bounded},
    relay::{Outbox, Outgoing},
    sticky::{Commit, Sticky},
};
use comanda_proto::{
    v1::{OrderTransition, Phase, Trigger, Workflow},
    views::{TransitionRow, WorkflowRow},
};
use prost::Message;
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
    sticky: Sticky,
    /// Replaces the delay of every timer.
    step: Option<Duration>,
}

impl Store {
    /// `step`, if given, replaces the delay of every timer, when a due time is computed.
    pub fn new(pool: PgPool, step: Option<Duration>) -> Self {
        Self { sticky: Sticky::new(&pool, Commit::Durable), pool, step }
    }

    /// Milliseconds that an order stays by itself; `None` is for ever.
    fn dwell_ms(&self, dwell: Dwell) -> Option<i64> {
        match dwell {
            Dwell::For(delay) => i64::try_from(self.step.unwrap_or(delay).as_millis()).ok(),
            Dwell::Forever | Dwell::Ended => None,
        }
    }

    /// Writes version 1 of orders that have none. Returns how many had none; orders that ordering does not know are left out.
    pub async fn adopt(&self, mut orders: Vec<(Placed, Dwell)>) -> Result<u64, Problem> {
        orders.sort_by_key(|(placed, _)| placed.order_id);
        let ids: Vec<_> = orders.iter().map(|(placed, _)| placed.order_id).collect();
        let workflows: Vec<_> = orders.iter().map(|(placed, _)| placed.workflow.as_str()).collect();
        let revisions: Vec<_> = orders.iter().map(|(placed, _)| placed.workflow_revision).collect();
        let statuses: Vec<_> = orders.iter().map(|(placed, _)| placed.first_status.as_str()).collect();
        let times: Vec<_> = orders.iter().map(|(placed, _)| placed.create_time).collect();
        let dwells_ms: Vec<_> = orders.iter().map(|(_, dwell)| self.dwell_ms(*dwell)).collect();
        let statement = || {
            sqlx::query(
                "WITH placed AS (
                     SELECT p.*
                     FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::bigint[])
                          AS p (order_id, workflow, workflow_revision, status, create_time, dwell_ms)
                     WHERE EXISTS (SELECT FROM ordering.order_facts f WHERE f.order_id = p.order_id)
                 ), adopted AS (
                     INSERT INTO states
                         (order_id, workflow, workflow_revision, version, status, phase, status_time, due_at)
                     SELECT order_id, workflow, workflow_revision, 1, status, $7, create_time,
                            coalesce(create_time + dwell_ms * interval '1 millisecond', 'infinity')
                     FROM placed
                     ON CONFLICT DO NOTHING
                     RETURNING order_id, status, status_time, due_at
                 ), logged AS (
                     INSERT INTO transitions
                         (order_id, version, from_status, to_status, phase, transition_time, trigger, actor, reason, due_at)
                     SELECT order_id, 1, '', status, $7, status_time, $8, 'system:ordering', '', due_at
                     FROM adopted
                 )
                 INSERT INTO outbox (order_id, version)
                 SELECT order_id, 1 FROM adopted",
            )
            .bind(&ids)
            .bind(&workflows)
            .bind(&revisions)
            .bind(&statuses)
            .bind(&times)
            .bind(&dwells_ms)
            .bind(Phase::Active as i16)
            .bind(Trigger::Create as i16)
        };
        Ok(self
            .sticky
            .repeated(|mut connection| async {
                let result = statement().execute(&mut *connection).await;
                (connection, result)
            })
            .await?
            .rows_affected())
    }

    /// Writes transitions, each only if its order still has the version that was decided upon; with a lease, only while it holds.
    /// At most one per order. Returns how many were written.
    pub async fn apply(&self, mut moves: Vec<Move>, lease: Option<Lease>) -> Result<u64, Problem> {
        moves.sort_by_key(|m| m.from.order_id);
        let ids: Vec<_> = moves.iter().map(|m| m.from.order_id).collect();
        let versions: Vec<_> = moves.iter().map(|m| m.from.version).collect();
        let from: Vec<_> = moves.iter().map(|m| m.from.status.as_str()).collect();
        let to: Vec<_> = moves.iter().map(|m| m.step.to_status.as_str()).collect();
        let phases: Vec<_> = moves.iter().map(|m| m.step.phase as i16).collect();
        let dwells_ms: Vec<_> = moves.iter().map(|m| self.dwell_ms(m.step.dwell)).collect();
        let triggers: Vec<_> = moves.iter().map(|m| m.trigger as i16).collect();
        let actors: Vec<_> = moves.iter().map(|m| m.actor.as_str()).collect();
        let reasons: Vec<_> = moves.iter().map(|m| m.reason.as_str()).collect();
        let requests: Vec<_> = moves.iter().map(|m| m.request_id).collect();
        let statement = || {
            sqlx::query(planted_sql!(APPLY,
                "no-version-gate": "version = p.version + 1" => "version = s.version + 1",
                "no-version-gate": "AND s.version = p.version" => "",
                "former-leader-keeps-firing": "version = p.version + 1" => "version = s.version + 1",
                "former-leader-keeps-firing": "AND s.version = p.version" => "AND (s.version = p.version OR $11 IS NOT NULL)",
                "former-leader-keeps-firing": "OR EXISTS (SELECT FROM reign)" => "OR true",
            ))
                .bind(&ids)
                .bind(&versions)
                .bind(&from)
                .bind(&to)
                .bind(&phases)
                .bind(&dwells_ms)
                .bind(&triggers)
                .bind(&actors)
                .bind(&reasons)
                .bind(&requests)
                .bind(lease.map(|lease| lease.epoch))
                .bind(Phase::Active as i16)
        };
        Ok(self
            .sticky
            .repeated(|mut connection| async {
                let result = statement().execute(&mut *connection).await;
                (connection, result)
            })
            .await?
            .rows_affected())
    }

    /// Orders whose timer ran out, the longest due first. `after` leaves out what was due up to then.
    pub async fn due(&self, after: Option<OffsetDateTime>, limit: i64) -> Result<Vec<Due>, Problem> {
        let mut connection = self.sticky.take().await?;
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
    pub async fn next_due_seconds(&self, after: Option<OffsetDateTime>) -> Result<Option<f64>, Problem> {
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
    pub async fn due_count(&self) -> Result<i64, Problem> {
        bounded(sqlx::query_scalar("SELECT count(*) FROM states WHERE due_at <= now()").fetch_one(&self.pool)).await
    }

    /// An order's state, and the version that an earlier command with this request id led to.
    pub async fn state(
        &self,
        order_id: Uuid,
        request_id: Option<Uuid>,
    ) -> Result<Option<(State, Option<i64>)>, Problem> {
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
    pub async fn placed(&self, order_ids: &[Uuid]) -> Result<Vec<Placed>, Problem> {
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
    ) -> Result<Vec<OrderTransition>, Problem> {
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
    pub async fn orders_epoch(&self) -> Result<i64, Problem> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM ordering.log_epoch").fetch_one(&self.pool)).await
    }

    /// Every workflow in every revision.
    pub async fn workflows(&self) -> Result<Vec<WorkflowRow>, Problem> {
        bounded(
            sqlx::query_as(
                "SELECT name, revision, definition, current FROM workflow_definitions ORDER BY name, revision",
            )
            .fetch_all(&self.pool),
        )
        .await
    }

    /// Stores a workflow and makes it the one that new orders of its name get. An equal definition keeps its revision.
    pub async fn store_workflow(&self, workflow: &Workflow) -> Result<i32, Problem> {
        let definition = Workflow { name: String::new(), revision: 0, ..workflow.clone() }.encode_to_vec();
        loop {
            let insert = sqlx::query(
                "INSERT INTO workflows (name, revision, definition)
                 SELECT $1, coalesce(max(revision), 0) + 1, $2
                 FROM workflows
                 WHERE name = $1
                 HAVING NOT coalesce(bool_or(definition = $2), false)
                 ON CONFLICT DO NOTHING",
            );
            bounded(insert.bind(&workflow.name).bind(&definition).execute(&self.pool)).await?;
            let choose = sqlx::query_scalar(
                "INSERT INTO current_workflows (name, revision)
                 SELECT name, revision FROM workflows WHERE name = $1 AND definition = $2
                 ON CONFLICT (name) DO UPDATE SET revision = excluded.revision
                 RETURNING revision",
            );
            let revision = bounded(choose.bind(&workflow.name).bind(&definition).fetch_optional(&self.pool)).await?;
            // Another process may have taken our revision's number with its own definition: take the next one.
            if let Some(revision) = revision {
                return Ok(revision);
            }
        }
    }
}

/// The compare-and-set of a batch. $11 is the lease's epoch or null.
const APPLY: &str = "
    WITH reign AS MATERIALIZED (
        SELECT FROM lease WHERE epoch = $11 FOR SHARE
    ), step AS (
        SELECT *
        FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::bigint[], $7::smallint[],
                    $8::text[], $9::text[], $10::uuid[])
             AS p (order_id, version, from_status, to_status, phase, dwell_ms, trigger, actor, reason, request_id)
    ), moved AS (
        UPDATE states s
        SET version = p.version + 1,
            status = p.to_status,
            phase = p.phase,
            status_time = now(),
            due_at = CASE WHEN p.phase = $12 THEN coalesce(now() + p.dwell_ms * interval '1 millisecond', 'infinity') END
        FROM step p
        WHERE s.order_id = p.order_id
          AND s.version = p.version
          AND ($11::bigint IS NULL OR EXISTS (SELECT FROM reign))
        RETURNING p.*, s.version AS new_version, s.status_time, s.due_at
    ), logged AS (
        INSERT INTO transitions
            (order_id, version, from_status, to_status, phase, transition_time, trigger, actor, reason, request_id, due_at)
        SELECT order_id, new_version, from_status, to_status, phase, status_time, trigger, actor, reason, request_id, due_at
        FROM moved
    )
    INSERT INTO outbox (order_id, version)
    SELECT order_id, new_version FROM moved";

#[async_trait::async_trait]
impl Outbox for Store {
    async fn next(&self, limit: i64) -> Result<Vec<Outgoing>, Problem> {
        // The inner limit keeps Postgres from turning the join round: without statistics it would read the whole history first.
        let mut connection = self.sticky.take().await?;
        let rows: Result<Vec<TransitionRow>, _> = bounded(
            sqlx::query_as(planted_sql!(
                "SELECT h.*
                 FROM (SELECT DISTINCT ON (order_id) order_id, version FROM outbox ORDER BY order_id, version LIMIT $1) o
                 CROSS JOIN LATERAL (
                     SELECT * FROM order_history h WHERE h.order_id = o.order_id AND h.version = o.version LIMIT 1
                 ) h",
                "relay-highest-version-first": "ORDER BY order_id, version" => "ORDER BY order_id, version DESC",
            ))
            .bind(limit)
            .fetch_all(&mut *connection),
        )
        .await;
        let rows = connection.end(rows)?;
        Ok(rows.into_iter().map(outgoing).collect())
    }

    async fn oldest_seconds(&self) -> Result<f64, Problem> {
        let statement = sqlx::query_scalar(
            "SELECT extract(epoch FROM now() - t.transition_time)::float8
             FROM (SELECT order_id, version FROM outbox ORDER BY order_id, version LIMIT 1) o
             CROSS JOIN LATERAL (
                 SELECT transition_time FROM transitions t WHERE t.order_id = o.order_id AND t.version = o.version
             ) t",
        );
        Ok(bounded(statement.fetch_optional(&self.pool)).await?.unwrap_or(0.0))
    }
}

fn outgoing(row: TransitionRow) -> Outgoing {
    let (key, version) = (row.order_id, row.version);
    let event = OrderTransition::from(row);
    Outgoing { key, version, headers: kafka::headers(&event), payload: event.encode_to_vec() }
}
