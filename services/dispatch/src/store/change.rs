//! Writing changes of jobs and their assignments, with their events: one statement for any number of them.

use comanda_kit::{lease::Lease, point_at, postgres::StoreError};
use prost::Message;
use uuid::Uuid;

use super::Store;
use crate::change::Change;

impl Store {
    /// Applies changes, each only if its job still has the versions that it was decided on; with a lease, only while it holds. At most one
    /// for each job. Returns the orders whose changes were applied.
    pub async fn apply(&self, mut changes: Vec<Change>, lease: Option<Lease>) -> Result<Vec<Uuid>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        changes.sort_by_key(|change| change.job.order_id);
        let jobs = changes.iter().map(|change| &change.job);
        let order_ids: Vec<_> = jobs.clone().map(|job| job.order_id).collect();
        let event_versions: Vec<_> = jobs.clone().map(|job| job.event_version).collect();
        let order_versions: Vec<_> = jobs.clone().map(|job| job.order_version).collect();
        let statuses: Vec<_> = jobs.clone().map(|job| job.order_status.as_str()).collect();
        let states: Vec<_> = jobs.clone().map(|job| job.state as i16).collect();
        let not_before: Vec<_> = jobs.clone().map(|job| job.not_before).collect();
        let waiting_since: Vec<_> = jobs.clone().map(|job| job.waiting_since).collect();
        let step_versions: Vec<_> = jobs.clone().map(|job| job.step_version).collect();
        let step_expects: Vec<_> = jobs.map(|job| job.step_expects).collect();
        let events_before: Vec<_> = changes.iter().map(|change| change.decided_on.0).collect();
        let orders_before: Vec<_> = changes.iter().map(|change| change.decided_on.1).collect();
        let times: Vec<_> = changes.iter().map(|change| change.time).collect();
        let excluded: Vec<_> = changes.iter().map(|change| change.excluded.as_deref()).collect();
        let contents: Vec<_> = changes.iter().map(|change| change.event.as_ref().map(Message::encode_to_vec)).collect();

        let assignments = changes.iter().filter_map(|change| change.assignment.as_ref());
        let assigned: Vec<_> = assignments.clone().map(|assignment| assignment.order_id).collect();
        let attempts: Vec<_> = assignments.clone().map(|assignment| assignment.attempt).collect();
        let assignment_states: Vec<_> = assignments.clone().map(|assignment| assignment.state).collect();
        let outcomes: Vec<_> = assignments.clone().map(|assignment| assignment.outcome).collect();
        let pickups: Vec<_> = assignments.clone().map(|assignment| assignment.expected_pickup_time).collect();
        let dropoffs: Vec<_> = assignments.clone().map(|assignment| assignment.expected_dropoff_time).collect();
        let allotted: Vec<_> = assignments.clone().map(|assignment| assignment.allot_time).collect();
        let confirmed: Vec<_> = assignments.clone().map(|assignment| assignment.confirm_time).collect();
        let arrived: Vec<_> = assignments.clone().map(|assignment| assignment.arrive_time).collect();
        let picked_up: Vec<_> = assignments.clone().map(|assignment| assignment.pickup_time).collect();
        let delays: Vec<_> = assignments.clone().map(|assignment| assignment.delay_told_time).collect();
        let ended: Vec<_> = assignments.map(|assignment| assignment.ended_at).collect();
        let statement = || {
            sqlx::query_scalar(APPLY)
                .bind(lease.map(|lease| lease.epoch))
                .bind(&order_ids)
                .bind(&events_before)
                .bind(&orders_before)
                .bind(&times)
                .bind(&event_versions)
                .bind(&order_versions)
                .bind(&statuses)
                .bind(&states)
                .bind(&not_before)
                .bind(&waiting_since)
                .bind(&step_versions)
                .bind(&excluded)
                .bind(&contents)
                .bind(&assigned)
                .bind(&attempts)
                .bind(&assignment_states)
                .bind(&outcomes)
                .bind(&pickups)
                .bind(&dropoffs)
                .bind(&allotted)
                .bind(&confirmed)
                .bind(&arrived)
                .bind(&picked_up)
                .bind(&delays)
                .bind(&ended)
                .bind(&step_expects)
        };
        self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }
}

/// The compare-and-set of a batch. $1 is the lease's epoch or null. A courier's revision rises with each change of its assignments; whether it
/// is idle then is derived from what it still has open.
const APPLY: &str = concat!("
    WITH term AS MATERIALIZED (
        SELECT FROM lease WHERE epoch = $1 FOR SHARE
    ), change AS (
        SELECT *
        FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::text[], $9::smallint[],
                    $10::timestamptz[], $11::timestamptz[], $12::bigint[], $13::text[], $14::bytea[],
                    $27::bigint[])
             AS c (order_id, event_before, order_before, time, event_version, order_version, order_status, state,
                   not_before, waiting_since, step_version, excluded, content, step_expects)
    ), job AS (
        UPDATE jobs j
        SET event_version = c.event_version,
            order_version = c.order_version,
            order_status = c.order_status,
            state = c.state,
            not_before = c.not_before,
            waiting_since = c.waiting_since,
            step_version = c.step_version,
            step_expects = c.step_expects,
            step_time = CASE WHEN c.step_version IS NULL THEN NULL
                             WHEN c.step_version = j.step_version THEN j.step_time
                             ELSE c.time END,
            declined = CASE WHEN c.excluded IS NULL OR c.excluded = ANY (j.declined) THEN j.declined
                            ELSE array_append(j.declined, c.excluded) END,
            update_time = c.time
        FROM change c
        WHERE j.order_id = c.order_id
          AND j.event_version = c.event_before
          AND j.order_version = c.order_before
          AND ($1::bigint IS NULL OR EXISTS (SELECT FROM term))
        RETURNING j.order_id, j.tenant, c.event_before, c.event_version, c.time, c.content
    ), assigned AS (
        UPDATE assignments a
        SET state = c.state,
            outcome = c.outcome,
            expected_pickup_time = c.expected_pickup_time,
            expected_dropoff_time = c.expected_dropoff_time,
            allot_time = c.allot_time,
            confirm_time = c.confirm_time,
            arrive_time = c.arrive_time,
            pickup_time = c.pickup_time,
            delay_told_time = c.delay_told_time,
            ended_at = c.ended_at
        FROM job, unnest($15::uuid[], $16::int[], $17::smallint[], $18::smallint[], $19::timestamptz[], $20::timestamptz[],
                         $21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::timestamptz[], $25::timestamptz[],
                         $26::timestamptz[])
             AS c (order_id, attempt, state, outcome, expected_pickup_time, expected_dropoff_time, allot_time, confirm_time, arrive_time,
                   pickup_time, delay_told_time, ended_at)
        WHERE a.order_id = c.order_id AND a.attempt = c.attempt AND a.ended_at IS NULL AND job.order_id = c.order_id
        RETURNING a.tenant, a.courier_id, a.ended_at, job.time
    ), touched AS (
        SELECT tenant, courier_id, max(time) AS time, count(ended_at) AS ended
        FROM assigned
        GROUP BY tenant, courier_id
        ORDER BY tenant, courier_id
    ), shown AS (
        UPDATE couriers c
        SET revision = c.revision + 1,
            idle_since = CASE
                WHEN c.status = 2 AND t.ended = (
                    SELECT count(*) FROM assignments o
                    WHERE o.tenant = c.tenant AND o.courier_id = c.courier_id AND o.ended_at IS NULL
                ) THEN coalesce(c.idle_since, t.time)
            END
        FROM touched t
        WHERE c.tenant = t.tenant AND c.courier_id = t.courier_id
    ), event AS (
        INSERT INTO events (order_id, version, tenant, event_time, content)
        SELECT order_id, event_version, tenant, time, content FROM job WHERE content IS NOT NULL
    ), pointed AS (
        ",
    point_at!("SELECT order_id, event_version AS version FROM job WHERE content IS NOT NULL"),
    "
    )
    SELECT order_id FROM job");
