//! Firing timers: due orders are picked, moved and recorded in one statement.

use comanda_kit::{lease::Lease, planted_sql, point_at, postgres::StoreError};
use comanda_proto::{
    v1::{Phase, Trigger},
    views::TransitionRow,
};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, outbox::outgoing};
use crate::edges::Edges;

/// An order that was due.
#[derive(Clone, Debug, FromRow)]
pub struct Due {
    /// The order.
    pub order_id: Uuid,
    tenant: String,
    version: i64,
    /// The status in which its timer ran out.
    pub from_status: String,
    from_time: OffsetDateTime,
    /// The status that it moved to; `None` where no edge was given for the former one.
    pub to_status: Option<String>,
    phase: i16,
    transition_time: Option<OffsetDateTime>,
    next_time: Option<OffsetDateTime>,
    /// When it was due.
    pub due_at: OffsetDateTime,
    /// How late it was found.
    pub late_seconds: f64,
    /// Its workflow.
    pub workflow: String,
    /// The revision of that.
    pub revision: i32,
}

impl Store {
    /// Moves orders whose timer ran out, the longest due first, each along the edge of its status, while the lease holds. `after` leaves out
    /// what was due up to then. Returns those that moved, and those for whose status no edge was given.
    pub async fn fire(
        &self,
        edges: &Edges,
        after: Option<OffsetDateTime>,
        limit: i64,
        lease: Lease,
    ) -> Result<Vec<Due>, StoreError> {
        let edges = edges.iter();
        let workflows: Vec<_> = edges.clone().map(|edge| edge.workflow.as_str()).collect();
        let revisions: Vec<_> = edges.clone().map(|edge| edge.revision).collect();
        let from: Vec<_> = edges.clone().map(|edge| edge.from_status.as_str()).collect();
        let to: Vec<_> = edges.clone().map(|edge| edge.step.to_status.as_str()).collect();
        let phases: Vec<_> = edges.clone().map(|edge| edge.step.phase as i16).collect();
        let dwells_ms: Vec<_> = edges.clone().map(|edge| self.dwell_ms(edge.step.dwell)).collect();
        let from_start: Vec<_> = edges.map(|edge| edge.step.dwell.counts_from_start()).collect();
        let statement = || {
            sqlx::query_as(planted_sql!(FIRE,
                "timers-by-skewed-clock": "due_at <= now()" => "due_at <= now() + interval '0.2 seconds'",
                "no-version-gate": "version = p.version + 1" => "version = s.version + 1",
                "no-version-gate": "AND s.version = p.version" => "",
                "former-leader-keeps-firing": "version = p.version + 1" => "version = s.version + 1",
                "former-leader-keeps-firing": "AND s.version = p.version" => "",
                "former-leader-keeps-firing": "AND EXISTS (SELECT FROM term)" => "",
            ))
            .bind(lease.epoch)
            .bind(after)
            .bind(limit)
            .bind(&workflows)
            .bind(&revisions)
            .bind(&from)
            .bind(&to)
            .bind(&phases)
            .bind(&dwells_ms)
            .bind(&from_start)
            .bind(Phase::Active as i16)
            .bind(Trigger::Timer as i16)
        };
        let due: Vec<Due> =
            self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await?;
        self.kept.keep(due.iter().filter_map(|due| self.transition(due)).map(outgoing));
        Ok(due)
    }

    fn transition(&self, due: &Due) -> Option<TransitionRow> {
        let (to_status, transition_time) = (due.to_status.clone()?, due.transition_time?);
        let facts = self.known.of(due.order_id, due.phase)?;
        Some(TransitionRow {
            order_id: due.order_id,
            version: due.version,
            tenant: due.tenant.clone(),
            from_status: due.from_status.clone(),
            from_time: Some(due.from_time),
            to_status,
            phase: due.phase,
            transition_time,
            trigger: Trigger::Timer as i16,
            actor: "system:timer".into(),
            reason: String::new(),
            next_transition_time: due.next_time,
            ..facts.into_transition()
        })
    }
}

/// What is due is picked once, and moved in the order of the keys, by compare-and-set.
const FIRE: &str = concat!(
    "
    WITH term AS MATERIALIZED (
        SELECT FROM lease WHERE epoch = $1 FOR SHARE
    ), edge AS MATERIALIZED (
        SELECT *
        FROM unnest($4::text[], $5::int[], $6::text[], $7::text[], $8::smallint[], $9::bigint[], $10::boolean[])
             AS e (workflow, revision, from_status, to_status, phase, dwell_ms, from_start)
    ), due AS MATERIALIZED (
        SELECT order_id, version, status, status_time, workflow, workflow_revision, due_at,
               extract(epoch FROM now() - due_at)::float8 AS late_seconds
        FROM states
        WHERE due_at <= now() AND due_at > coalesce($2, '-infinity')
        ORDER BY due_at
        LIMIT $3
    ), step AS MATERIALIZED (
        SELECT d.order_id, d.version, d.workflow, d.workflow_revision, d.status AS from_status, d.status_time AS from_time, d.due_at AS was_due,
               d.late_seconds, e.to_status, e.phase, e.dwell_ms, e.from_start
        FROM due d
        LEFT JOIN edge e ON e.revision = d.workflow_revision AND e.from_status = d.status AND e.workflow = d.workflow
        ORDER BY d.order_id
    ), moved AS (
        UPDATE states s
        SET version = p.version + 1,
            status = p.to_status,
            phase = p.phase,
            status_time = now(),
            due_at = CASE
                WHEN p.phase <> $11 THEN NULL
                WHEN p.from_start THEN
                    greatest(now(), (SELECT f.start_time FROM ordering.order_facts f WHERE f.order_id = s.order_id))
                    + p.dwell_ms * interval '1 millisecond'
                ELSE coalesce(now() + p.dwell_ms * interval '1 millisecond', 'infinity')
            END
        FROM (SELECT * FROM step WHERE to_status IS NOT NULL) p
        WHERE s.order_id = p.order_id
          AND s.version = p.version
          AND EXISTS (SELECT FROM term)
        RETURNING s.order_id, s.tenant, s.version, p.from_status, p.from_time, s.status, s.phase, s.status_time, s.due_at,
                  p.was_due, p.late_seconds, p.workflow, p.workflow_revision
    ), logged AS (
        INSERT INTO transitions
            (order_id, version, tenant, from_status, from_time, to_status, phase, transition_time, trigger, actor, reason, due_at)
        SELECT order_id, version, tenant, from_status, from_time, status, phase, status_time, $12, 'system:timer', '', due_at
        FROM moved
    ), pointed AS (
        ",
    point_at!("SELECT order_id, version FROM moved"),
    "
    )
    SELECT order_id, tenant, version, from_status, from_time, status AS to_status, phase, status_time AS transition_time,
           nullif(due_at, 'infinity') AS next_time, was_due AS due_at, late_seconds, workflow, workflow_revision AS revision
    FROM moved
    UNION ALL
    SELECT order_id, '', version, from_status, from_time, NULL, 0::smallint, NULL, NULL, was_due, late_seconds, workflow, workflow_revision
    FROM step
    WHERE to_status IS NULL"
);
