//! Giving waiting orders to couriers: one statement for any number of them, each order and each courier at most once.

use comanda_kit::{lease::Lease, planted_sql, point_at, postgres::StoreError};
use prost::Message;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::model::{Assignment, JobState};

/// An order for a courier.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Event version and order version that were decided on.
    pub decided_on: (i64, i64),
    /// The assignment to make, without its slot, which the statement chooses.
    pub assignment: Assignment,
    /// What is published: without order_id, version, tenant and event_time.
    pub event: comanda_proto::events::AssignmentEvent,
    /// The id of the call that asks for it.
    pub request_id: Option<Uuid>,
}

impl Store {
    /// Makes assignments, each only if its job still has the versions that were decided on and is in one of `from`, and its courier is available
    /// and has a free slot; with a lease, only while it holds. Returns the orders that were assigned.
    pub async fn claim(
        &self,
        mut claims: Vec<Claim>,
        time: OffsetDateTime,
        from: &[JobState],
        lease: Option<Lease>,
    ) -> Result<Vec<Uuid>, StoreError> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        claims.sort_by_key(|claim| claim.assignment.order_id);
        let assignments = claims.iter().map(|claim| &claim.assignment);
        let order_ids: Vec<_> = assignments.clone().map(|assignment| assignment.order_id).collect();
        let couriers: Vec<_> = assignments.clone().map(|assignment| assignment.courier_id.as_str()).collect();
        let states: Vec<_> = assignments.clone().map(|assignment| assignment.state).collect();
        let offered: Vec<_> = assignments.clone().map(|assignment| assignment.offered_until).collect();
        let promised: Vec<_> = assignments.clone().map(|assignment| assignment.promised_pickup_time).collect();
        let pickups: Vec<_> = assignments.clone().map(|assignment| assignment.expected_pickup_time).collect();
        let dropoffs: Vec<_> = assignments.clone().map(|assignment| assignment.expected_dropoff_time).collect();
        let allotted: Vec<_> = assignments.clone().map(|assignment| assignment.allot_time).collect();
        let confirmed: Vec<_> = assignments.map(|assignment| assignment.confirm_time).collect();
        let events_before: Vec<_> = claims.iter().map(|claim| claim.decided_on.0).collect();
        let orders_before: Vec<_> = claims.iter().map(|claim| claim.decided_on.1).collect();
        let contents: Vec<_> = claims.iter().map(|claim| claim.event.encode_to_vec()).collect();
        let expected = |claim: &Claim| claim.event.step.as_ref().map(|step| step.expected_version);
        let steps: Vec<_> = claims.iter().map(expected).collect();
        let requests: Vec<_> = claims.iter().map(|claim| claim.request_id).collect();
        let from: Vec<_> = from.iter().map(|state| *state as i16).collect();
        let statement = || {
            sqlx::query_scalar(planted_sql!(CLAIM,
                "no-slot-index": "SELECT min(s)" => "SELECT 1 + floor(random() * 1000000)::int + 0 * min(s)",
                "no-slot-index": "o.slot = s" => "o.slot < 0",
            ))
            .bind(lease.map(|lease| lease.epoch))
            .bind(&order_ids)
            .bind(&events_before)
            .bind(&orders_before)
            .bind(&couriers)
            .bind(&states)
            .bind(&offered)
            .bind(&promised)
            .bind(&pickups)
            .bind(&dropoffs)
            .bind(&allotted)
            .bind(&confirmed)
            .bind(&contents)
            .bind(&steps)
            .bind(&requests)
            .bind(&from)
            .bind(time)
        };
        self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }
}

/// The compare-and-set of a batch. $1 is the lease's epoch or null, $17 the time. Rows are locked in the order of their keys: the arrays are
/// sorted, and each row is looked up by its key (a join read all jobs and all couriers for each order of the batch). A slot that another
/// statement took meanwhile is a conflict: nothing is written for that order.
const CLAIM: &str = concat!("
    WITH term AS MATERIALIZED (
        SELECT FROM lease WHERE epoch = $1 FOR SHARE
    ), job AS MATERIALIZED (
        SELECT c.*, j.tenant, j.attempts + 1 AS attempt
        FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::smallint[], $7::timestamptz[], $8::timestamptz[],
                    $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::bytea[], $14::bigint[],
                    $15::uuid[])
             AS c (order_id, event_before, order_before, courier_id, state, offered_until, promised_pickup_time, expected_pickup_time,
                   expected_dropoff_time, allot_time, confirm_time, content, step_expects, request_id)
        CROSS JOIN LATERAL (
            SELECT j.tenant, j.attempts
            FROM jobs j
            WHERE j.order_id = c.order_id
              AND j.event_version = c.event_before
              AND j.order_version = c.order_before
              AND j.state = ANY ($16)
              AND ($1::bigint IS NULL OR EXISTS (SELECT FROM term))
            LIMIT 1
            FOR NO KEY UPDATE
        ) j
    ), courier AS MATERIALIZED (
        SELECT job.order_id, c.tenant, c.courier_id, c.capacity
        FROM (SELECT order_id, tenant, courier_id FROM job ORDER BY tenant, courier_id) job
        CROSS JOIN LATERAL (
            SELECT c.tenant, c.courier_id, c.capacity
            FROM couriers c
            WHERE c.tenant = job.tenant AND c.courier_id = job.courier_id AND c.status = 2
            LIMIT 1
            FOR NO KEY UPDATE
        ) c
    ), made AS (
        INSERT INTO assignments
            (order_id, attempt, tenant, courier_id, slot, state, offered_until, promised_pickup_time, expected_pickup_time,
             expected_dropoff_time, create_time, allot_time, confirm_time)
        SELECT job.order_id, job.attempt, job.tenant, job.courier_id, slot.number, job.state, job.offered_until,
               job.promised_pickup_time, job.expected_pickup_time, job.expected_dropoff_time, $17, job.allot_time, job.confirm_time
        FROM job
        JOIN courier ON courier.order_id = job.order_id
        CROSS JOIN LATERAL (
            SELECT (
                SELECT min(s)
                FROM generate_series(1, courier.capacity) AS s
                WHERE NOT EXISTS (
                    SELECT FROM assignments o
                    WHERE o.tenant = courier.tenant AND o.courier_id = courier.courier_id AND o.slot = s AND o.ended_at IS NULL
                )
            ) AS number
        ) slot
        WHERE slot.number IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING order_id, attempt, tenant, courier_id
    ), moved AS (
        UPDATE jobs j
        SET state = 3,
            event_version = j.event_version + 1,
            attempts = made.attempt,
            step_version = CASE WHEN job.step_expects IS NULL THEN j.step_version ELSE j.event_version + 1 END,
            step_expects = coalesce(job.step_expects, j.step_expects),
            step_time = CASE WHEN job.step_expects IS NULL THEN j.step_time ELSE $17 END,
            update_time = $17
        FROM made
        JOIN job ON job.order_id = made.order_id
        WHERE j.order_id = made.order_id
        RETURNING j.order_id, j.event_version, j.tenant, job.content
    ), shown AS (
        UPDATE couriers c
        SET revision = c.revision + 1, idle_since = NULL
        FROM made
        WHERE c.tenant = made.tenant AND c.courier_id = made.courier_id
    ), requested AS (
        INSERT INTO requests (tenant, request_id, order_id, courier_id, attempt)
        SELECT made.tenant, job.request_id, made.order_id, made.courier_id, made.attempt
        FROM made
        JOIN job ON job.order_id = made.order_id
        WHERE job.request_id IS NOT NULL
    ), event AS (
        INSERT INTO events (order_id, version, tenant, event_time, content)
        SELECT order_id, event_version, tenant, $17, content FROM moved
    ), pointed AS (
        ",
    point_at!("SELECT order_id, event_version AS version FROM moved"),
    "
    )
    SELECT order_id FROM moved");
