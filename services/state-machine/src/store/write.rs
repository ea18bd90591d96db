//! Transitions that were asked for, and the request ids of commands.

use comanda_kit::{planted_sql, point_at, postgres::StoreError};
use comanda_proto::{transition_columns, v1::Phase, views::TransitionRow};
use uuid::Uuid;

use super::{Answered, Move, Store, outbox::outgoing};

impl Store {
    /// Writes transitions that callers or dispatch asked for, each only if its order still has the version that was decided upon. At most one
    /// per order. Returns those that were written. A request id that is bound already refuses all of them.
    pub async fn apply(&self, moves: &[Move]) -> Result<Vec<TransitionRow>, StoreError> {
        let mut moves: Vec<_> = moves.iter().collect();
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
        let requests: Vec<_> = moves.iter().map(|m| m.request.as_ref().map(|asked| asked.request_id)).collect();
        let asked: Vec<_> =
            moves.iter().map(|m| m.request.as_ref().map_or("", |asked| asked.status.as_str())).collect();
        let from_times: Vec<_> = moves.iter().map(|m| m.from.status_time).collect();
        let from_start: Vec<_> = moves.iter().map(|m| m.step.dwell.counts_from_start()).collect();
        let statement = || {
            sqlx::query_as(planted_sql!(APPLY,
                "no-version-gate": "version = p.version + 1" => "version = s.version + 1",
                "no-version-gate": "AND s.version = p.version" => "",
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
            .bind(Phase::Active as i16)
            .bind(&asked)
            .bind(&from_times)
            .bind(&from_start)
        };
        let written: Vec<TransitionRow> =
            self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await?;
        self.kept.keep(written.iter().cloned().map(outgoing));
        Ok(written)
    }

    /// Notes that commands were answered with their orders' present transitions, since there was nothing to do; at most one for each order,
    /// by id. Returns the orders of which it was noted: the others have moved on, or the request id is bound already.
    pub async fn note_answered(&self, answered: &[(Uuid, Answered)]) -> Result<Vec<Uuid>, StoreError> {
        let mut answered: Vec<_> = answered.iter().collect();
        answered.sort_by_key(|(order_id, _)| *order_id);
        let ids: Vec<_> = answered.iter().map(|(order_id, _)| *order_id).collect();
        let requests: Vec<_> = answered.iter().map(|(_, a)| a.asked.request_id).collect();
        let triggers: Vec<_> = answered.iter().map(|(_, a)| a.asked.trigger as i16).collect();
        let asked: Vec<_> = answered.iter().map(|(_, a)| a.asked.status.as_str()).collect();
        let versions: Vec<_> = answered.iter().map(|(_, a)| a.version).collect();
        let statement =
            || sqlx::query_scalar(NOTE).bind(&ids).bind(&requests).bind(&triggers).bind(&asked).bind(&versions);
        self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }
}

/// The compare-and-set of a batch. What the order was placed with is looked up first, for the transitions that are returned and for timers
/// that count from the order's start time.
const APPLY: &str = concat!(
    "
    WITH step AS MATERIALIZED (
        SELECT *
        FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::bigint[], $7::smallint[],
                    $8::text[], $9::text[], $10::uuid[], $12::text[], $13::timestamptz[], $14::boolean[])
             AS p (order_id, version, from_status, to_status, phase, dwell_ms, trigger, actor, reason, request_id, asked_status,
                   from_time, from_start)
        CROSS JOIN LATERAL (
            SELECT f.number, f.customer_id, f.workflow, f.workflow_revision, f.currency, f.total_units, f.total_nanos, f.item_count,
                   f.traceparent, f.start_time
            FROM ordering.order_facts f
            WHERE f.order_id = p.order_id
            LIMIT 1
        ) f
    ), moved AS (
        UPDATE states s
        SET version = p.version + 1,
            status = p.to_status,
            phase = p.phase,
            status_time = now(),
            due_at = CASE
                WHEN p.phase <> $11 THEN NULL
                WHEN p.from_start THEN greatest(now(), p.start_time) + p.dwell_ms * interval '1 millisecond'
                ELSE coalesce(now() + p.dwell_ms * interval '1 millisecond', 'infinity')
            END
        FROM step p
        WHERE s.order_id = p.order_id
          AND s.version = p.version
        RETURNING s.order_id, s.version, s.tenant, p.number, p.customer_id, p.workflow, p.workflow_revision, p.from_status, p.from_time,
                  p.to_status, p.phase, s.status_time AS transition_time, p.trigger, p.actor, p.reason, p.request_id, p.asked_status,
                  s.due_at, nullif(s.due_at, 'infinity') AS next_transition_time, p.currency, p.total_units, p.total_nanos, p.item_count,
                  p.traceparent
    ), logged AS (
        INSERT INTO transitions
            (order_id, version, tenant, from_status, from_time, to_status, phase, transition_time, trigger, actor, reason, request_id,
             due_at)
        SELECT order_id, version, tenant, from_status, from_time, to_status, phase, transition_time, trigger, actor, reason, request_id,
               due_at
        FROM moved
    ), answered AS (
        INSERT INTO requests (order_id, request_id, trigger, asked_status, version)
        SELECT order_id, request_id, trigger, asked_status, version FROM moved WHERE request_id IS NOT NULL
    ), pointed AS (
        ",
    point_at!("SELECT order_id, version FROM moved"),
    "
    )
    SELECT ",
    transition_columns!(),
    " FROM moved h"
);

/// The limit makes Postgres look each order up by its key.
const NOTE: &str = "
    INSERT INTO requests (order_id, request_id, trigger, asked_status, version)
    SELECT s.order_id, k.request_id, k.trigger, k.asked_status, s.version
    FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bigint[])
         AS k (order_id, request_id, trigger, asked_status, version)
    CROSS JOIN LATERAL (
        SELECT s.order_id, s.version FROM states s WHERE s.order_id = k.order_id AND s.version = k.version LIMIT 1
    ) s
    ON CONFLICT DO NOTHING
    RETURNING order_id";
