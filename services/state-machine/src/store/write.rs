//! Transitions that were asked for, and the request ids of commands.

use comanda_kit::{access::Scope, dedicated::Dedicated, planted_sql, point_at, postgres::StoreError};
use comanda_proto::v1::Phase;
use sqlx::{Postgres, postgres::PgArguments, query::QueryScalar};

use super::{Asked, Move, State, Store};

impl Store {
    /// Writes transitions that callers or dispatch asked for, each only if its order still has the version that was decided upon. At most one
    /// per order. Returns how many were written.
    pub async fn apply(&self, mut moves: Vec<Move>) -> Result<u64, StoreError> {
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
            sqlx::query_scalar(planted_sql!(APPLY,
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
        written(&self.calls, statement).await
    }

    /// Writes the transition of a command. False if the order has moved on, or the request id was bound meanwhile.
    pub async fn apply_one(&self, step: Move) -> Result<bool, StoreError> {
        match self.apply(vec![step]).await {
            Err(StoreError::Refused(error)) if error.as_database_error().is_some_and(|e| e.is_unique_violation()) => {
                Ok(false)
            }
            written => Ok(written? > 0),
        }
    }

    /// Notes that a command was answered with the order's present transition, since there was nothing to do. False if the order has
    /// moved on or the request id is bound already.
    pub async fn note_answered(&self, scope: &Scope, state: &State, asked: &Asked) -> Result<bool, StoreError> {
        let statement = || {
            sqlx::query_scalar(
                "WITH noted AS (
                     INSERT INTO requests (order_id, request_id, trigger, asked_status, version)
                     SELECT s.order_id, $4, $5, $6, s.version
                     FROM states s
                     WHERE s.order_id = $2 AND s.tenant = $1 AND s.version = $3
                     ON CONFLICT DO NOTHING
                     RETURNING order_id
                 )
                 SELECT count(*) FROM noted",
            )
            .bind(scope.tenant())
            .bind(state.order_id)
            .bind(state.version)
            .bind(asked.request_id)
            .bind(asked.trigger as i16)
            .bind(&asked.status)
        };
        Ok(written(&self.calls, statement).await? > 0)
    }
}

/// Runs a statement that says how many orders it wrote, again where it lost a deadlock.
async fn written<'a>(
    connections: &Dedicated,
    statement: impl Fn() -> QueryScalar<'a, Postgres, i64, PgArguments>,
) -> Result<u64, StoreError> {
    let written = connections.repeated(|mut c| async { (statement().fetch_one(&mut *c).await, c) });
    Ok(written.await? as u64)
}

/// The compare-and-set of a batch.
const APPLY: &str = concat!("
    WITH step AS (
        SELECT *
        FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::bigint[], $7::smallint[],
                    $8::text[], $9::text[], $10::uuid[], $12::text[], $13::timestamptz[], $14::boolean[])
             AS p (order_id, version, from_status, to_status, phase, dwell_ms, trigger, actor, reason, request_id, asked_status,
                   from_time, from_start)
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
        FROM step p
        WHERE s.order_id = p.order_id
          AND s.version = p.version
        RETURNING p.*, s.tenant, s.version AS new_version, s.status_time, s.due_at
    ), logged AS (
        INSERT INTO transitions
            (order_id, version, tenant, from_status, from_time, to_status, phase, transition_time, trigger, actor, reason, request_id,
             due_at)
        SELECT order_id, new_version, tenant, from_status, from_time, to_status, phase, status_time, trigger, actor, reason, request_id,
               due_at
        FROM moved
    ), answered AS (
        INSERT INTO requests (order_id, request_id, trigger, asked_status, version)
        SELECT order_id, request_id, trigger, asked_status, new_version FROM moved WHERE request_id IS NOT NULL
    ), pointed AS (
        ",
    point_at!("SELECT order_id, new_version AS version FROM moved"),
    "
    )
    SELECT count(*) FROM moved");
