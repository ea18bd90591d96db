//! Writing version 1 of orders.

use comanda_kit::{point_at, postgres::StoreError};
use comanda_proto::{
    v1::{Phase, Trigger},
    views::TransitionRow,
};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Facts, Placed, Store, outbox::outgoing};
use crate::machine::Dwell;

/// Either facts of an order of the batch, or what was written of an order that had no version yet.
#[derive(FromRow)]
struct Row {
    order_id: Uuid,
    tenant: String,
    #[sqlx(flatten)]
    facts: Facts,
    written_status: Option<String>,
    written_time: Option<OffsetDateTime>,
    due_at: Option<OffsetDateTime>,
}

impl Store {
    /// Writes version 1 of orders that have none. Returns how many had none; orders that ordering does not know are left out.
    pub async fn adopt(&self, mut orders: Vec<(Placed, Dwell)>) -> Result<u64, StoreError> {
        orders.sort_by_key(|(placed, _)| placed.order_id);
        let ids: Vec<_> = orders.iter().map(|(placed, _)| placed.order_id).collect();
        let workflows: Vec<_> = orders.iter().map(|(placed, _)| placed.workflow.as_str()).collect();
        let revisions: Vec<_> = orders.iter().map(|(placed, _)| placed.workflow_revision).collect();
        let statuses: Vec<_> = orders.iter().map(|(placed, _)| placed.first_status.as_str()).collect();
        let times: Vec<_> = orders.iter().map(|(placed, _)| placed.create_time).collect();
        let dwells_ms: Vec<_> = orders.iter().map(|(_, dwell)| self.dwell_ms(*dwell)).collect();
        let starts: Vec<_> =
            orders.iter().map(|(placed, dwell)| placed.start_time.filter(|_| dwell.counts_from_start())).collect();
        let statement = || {
            sqlx::query_as(ADOPT)
                .bind(&ids)
                .bind(&workflows)
                .bind(&revisions)
                .bind(&statuses)
                .bind(&times)
                .bind(&dwells_ms)
                .bind(Phase::Active as i16)
                .bind(Trigger::Create as i16)
                .bind(&starts)
        };
        let rows: Vec<Row> =
            self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await?;
        let (written, known): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.written_status.is_some());
        known.into_iter().for_each(|row| self.known.note(row.order_id, row.facts));
        let count = written.len() as u64;
        self.kept.keep(written.into_iter().filter_map(|row| self.first_transition(row)).map(outgoing));
        Ok(count)
    }

    fn first_transition(&self, row: Row) -> Option<TransitionRow> {
        let (facts, to_status, transition_time) =
            (self.known.of(row.order_id, Phase::Active as i16)?, row.written_status?, row.written_time?);
        Some(TransitionRow {
            order_id: row.order_id,
            version: 1,
            tenant: row.tenant,
            from_status: String::new(),
            from_time: None,
            to_status,
            phase: Phase::Active as i16,
            transition_time,
            trigger: Trigger::Create as i16,
            actor: "system:ordering".into(),
            reason: String::new(),
            next_transition_time: row.due_at,
            ..facts.into_transition()
        })
    }
}

/// The tenant and the facts are those that ordering knows, whatever a record said.
const ADOPT: &str = concat!("
    WITH placed AS MATERIALIZED (
        SELECT p.order_id, p.workflow, p.workflow_revision, p.status, p.create_time, p.dwell_ms, p.start_time,
               f.tenant, f.number, f.customer_id, f.workflow AS own_workflow, f.workflow_revision AS own_revision,
               f.currency, f.total_units, f.total_nanos, f.item_count, f.traceparent
        FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::bigint[], $9::timestamptz[])
             AS p (order_id, workflow, workflow_revision, status, create_time, dwell_ms, start_time)
        CROSS JOIN LATERAL (
            SELECT f.tenant, f.number, f.customer_id, f.workflow, f.workflow_revision, f.currency, f.total_units, f.total_nanos,
                   f.item_count, f.traceparent
            FROM ordering.order_facts f
            WHERE f.order_id = p.order_id
            LIMIT 1
        ) f
    ), adopted AS (
        INSERT INTO states
            (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
        SELECT order_id, tenant, workflow, workflow_revision, 1, status, $7, create_time,
               coalesce(greatest(create_time, start_time) + dwell_ms * interval '1 millisecond', 'infinity')
        FROM placed
        ON CONFLICT DO NOTHING
        RETURNING order_id, tenant, status, status_time, due_at
    ), logged AS (
        INSERT INTO transitions
            (order_id, version, tenant, from_status, to_status, phase, transition_time, trigger, actor, reason, due_at)
        SELECT order_id, 1, tenant, '', status, $7, status_time, $8, 'system:ordering', '', due_at
        FROM adopted
    ), pointed AS (
        ",
    point_at!("SELECT order_id, 1::bigint AS version FROM adopted"),
    "
    )
    SELECT order_id, tenant, number, customer_id, own_workflow AS workflow, own_revision AS workflow_revision, currency,
           total_units, total_nanos, item_count, traceparent,
           NULL AS written_status, NULL::timestamptz AS written_time, NULL::timestamptz AS due_at
    FROM placed
    UNION ALL
    SELECT order_id, tenant, 0, '', '', 0, '', 0, 0, 0, NULL, status, status_time, nullif(due_at, 'infinity')
    FROM adopted");
