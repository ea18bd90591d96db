//! Reading jobs, and writing the first row of one.

use std::collections::HashMap;

use comanda_kit::{
    lease::Lease,
    postgres::{StoreError, bounded},
    put_back,
};
use comanda_proto::views::TripRow;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, assignment_columns, job_columns};
use crate::model::{Assignment, Case, Job};

/// An order as the state machine shows it.
#[derive(Clone, Debug, FromRow)]
pub struct Seen {
    /// The order.
    pub order_id: Uuid,
    /// Its number for people.
    pub number: i64,
    /// The workflow that it follows.
    pub workflow: String,
    /// The revision it is pinned to.
    pub workflow_revision: i32,
    /// Its version.
    pub version: i64,
    /// Its status in that version.
    pub status: String,
    /// Who moved it there.
    pub actor: String,
}

/// Where a page of the queue ended.
pub type Position = (OffsetDateTime, Uuid);

#[derive(FromRow)]
struct JobRow {
    #[sqlx(flatten)]
    job: Job,
    now: OffsetDateTime,
}

impl From<JobRow> for Case {
    fn from(JobRow { job, now }: JobRow) -> Self {
        Self { job, assignment: None, now }
    }
}

/// A job and one of its assignments.
#[derive(FromRow)]
pub(super) struct CaseRow {
    #[sqlx(flatten)]
    job: Job,
    #[sqlx(flatten)]
    assignment: Assignment,
    now: OffsetDateTime,
}

impl From<CaseRow> for Case {
    fn from(CaseRow { job, assignment, now }: CaseRow) -> Self {
        Self { job, assignment: Some(assignment), now }
    }
}

impl Store {
    /// Jobs with their open assignments. Orders that have no job are left out.
    pub async fn cases(&self, order_ids: &[Uuid]) -> Result<Vec<Case>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            job_columns!(),
            ", clock_timestamp() AS now
             FROM unnest($1::uuid[]) AS k (order_id)
             JOIN jobs j ON j.order_id = k.order_id"
        ));
        let jobs: Vec<JobRow> = bounded(statement.bind(order_ids).fetch_all(&self.pool)).await?;
        // Read after the jobs: where it changed in between, so has the version that is compared.
        let mut open = self.open_by_order(order_ids).await?;
        let with_open = |row: JobRow| {
            let assignment = open.remove(&row.job.order_id);
            Case { assignment, ..row.into() }
        };
        Ok(jobs.into_iter().map(with_open).collect())
    }

    async fn open_by_order(&self, order_ids: &[Uuid]) -> Result<HashMap<Uuid, Assignment>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            assignment_columns!(),
            ", a.order_id, a.tenant
             FROM unnest($1::uuid[]) AS k (order_id)
             JOIN assignments a ON a.order_id = k.order_id AND a.ended_at IS NULL"
        ));
        let open: Vec<Assignment> = bounded(statement.bind(order_ids).fetch_all(&self.pool)).await?;
        Ok(open.into_iter().map(|assignment| (assignment.order_id, assignment)).collect())
    }

    /// Orders as the state machine shows them now; those that it does not know are left out.
    pub async fn present(&self, order_ids: &[Uuid]) -> Result<Vec<Seen>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT s.order_id, f.number, f.workflow, f.workflow_revision, s.version, s.status, 'system:dispatch' AS actor
             FROM unnest($1::uuid[]) AS k (order_id)
             CROSS JOIN LATERAL (
                 SELECT order_id, version, status FROM state_machine.order_states WHERE order_id = k.order_id LIMIT 1
             ) s
             CROSS JOIN LATERAL (
                 SELECT number, workflow, workflow_revision FROM ordering.order_facts WHERE order_id = k.order_id LIMIT 1
             ) f",
        );
        bounded(statement.bind(order_ids).fetch_all(&self.pool)).await
    }

    /// Makes the jobs of orders that have none, each only while its order has this version: where it has a newer one, that one's record
    /// decides. A job with a pickup time is held until `lead` before it. Returns how many were made.
    pub async fn add_jobs(&self, mut seen: Vec<Seen>, lead: time::Duration) -> Result<u64, StoreError> {
        if seen.is_empty() {
            return Ok(0);
        }
        seen.sort_by_key(|seen| seen.order_id);
        let order_ids: Vec<_> = seen.iter().map(|seen| seen.order_id).collect();
        let numbers: Vec<_> = seen.iter().map(|seen| seen.number).collect();
        let workflows: Vec<_> = seen.iter().map(|seen| seen.workflow.as_str()).collect();
        let revisions: Vec<_> = seen.iter().map(|seen| seen.workflow_revision).collect();
        let versions: Vec<_> = seen.iter().map(|seen| seen.version).collect();
        let statuses: Vec<_> = seen.iter().map(|seen| seen.status.as_str()).collect();
        let statement = || {
            // The tenant is the one that the state machine knows, whatever a record said.
            sqlx::query(
                "INSERT INTO jobs
                     (order_id, tenant, number, workflow, workflow_revision, order_version, order_status, state, not_before, waiting_since)
                 SELECT n.order_id, s.tenant, n.number, n.workflow, n.workflow_revision, n.version, n.status,
                        CASE WHEN t.start_time > now() + make_interval(secs => $7) THEN 1 ELSE 2 END,
                        greatest(now(), t.start_time - make_interval(secs => $7)), now()
                 FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::int[], $5::bigint[], $6::text[])
                      AS n (order_id, number, workflow, workflow_revision, version, status)
                 CROSS JOIN LATERAL (
                     SELECT tenant FROM state_machine.order_states WHERE order_id = n.order_id AND version = n.version LIMIT 1
                 ) s
                 LEFT JOIN LATERAL (
                     SELECT start_time FROM ordering.order_trips WHERE order_id = n.order_id LIMIT 1
                 ) t ON true
                 ON CONFLICT DO NOTHING",
            )
            .bind(&order_ids)
            .bind(&numbers)
            .bind(&workflows)
            .bind(&revisions)
            .bind(&versions)
            .bind(&statuses)
            .bind(lead.as_seconds_f64())
        };
        let added = self.dedicated.repeated(|mut c| async { (statement().execute(&mut *c).await, c) });
        Ok(added.await?.rows_affected())
    }

    /// The next jobs of the queue whose time has come, in its order.
    pub async fn waiting(&self, after: Option<Position>, limit: i64) -> Result<Vec<Case>, StoreError> {
        let (time, order_id) = after.unzip();
        let mut connection = self.dedicated.take().await?;
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            job_columns!(),
            ", clock_timestamp() AS now
             FROM jobs j
             WHERE j.state <= 2 AND j.not_before <= now()
               AND (j.not_before, j.order_id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
             ORDER BY j.not_before, j.order_id
             LIMIT $3"
        ));
        let statement = statement.bind(time).bind(order_id).bind(limit);
        let rows: Result<Vec<JobRow>, _> = bounded(statement.fetch_all(&mut *connection)).await;
        Ok(connection.end(rows)?.into_iter().map(Into::into).collect())
    }

    /// Where orders are picked up and go. Orders whose trip is gone (its customer was erased) are left out.
    pub async fn trips(&self, order_ids: &[Uuid]) -> Result<Vec<TripRow>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT t.order_id, t.tenant, t.pickup_latitude, t.pickup_longitude, t.dropoff_latitude, t.dropoff_longitude,
                    t.load, t.vehicle_kind, t.zone, t.start_time
             FROM unnest($1::uuid[]) AS k (order_id)
             CROSS JOIN LATERAL (
                 SELECT order_id, tenant, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude,
                        load, vehicle_kind, zone, start_time
                 FROM ordering.order_trips
                 WHERE order_id = k.order_id
                 LIMIT 1
             ) t",
        );
        bounded(statement.bind(order_ids).fetch_all(&self.pool)).await
    }
}

impl Store {
    /// Jobs whose last step no version of the order has answered for so long: order, and the last version that was read.
    pub async fn unanswered(
        &self,
        older_than: std::time::Duration,
        limit: i64,
    ) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT order_id, order_version
             FROM jobs
             WHERE step_version IS NOT NULL AND step_time <= now() - make_interval(secs => $1)
             ORDER BY step_time
             LIMIT $2",
        );
        let statement = statement.bind(older_than.as_secs_f64()).bind(limit);
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// Puts the outbox pointers of these jobs' events back while the lease holds; their steps count as asked for now. Not those of a job with
    /// events that still wait to be published, and none while the outbox is long: so it does not grow while Kafka is away.
    pub async fn repeat_events(&self, order_ids: &[Uuid], lease: Lease) -> Result<(), StoreError> {
        let statement = sqlx::query(concat!(
            "WITH term AS MATERIALIZED (
                 SELECT FROM lease WHERE epoch = $2 FOR SHARE
             ), asked AS (
                 UPDATE jobs SET step_time = now()
                 WHERE order_id = ANY ($1) AND EXISTS (SELECT FROM term)
                 RETURNING order_id
             ), head AS MATERIALIZED (
                 SELECT order_ids FROM outbox ORDER BY seq LIMIT 1000
             )
             ",
            put_back!(
                "outbox",
                "SELECT e.order_id, e.version
                 FROM asked
                 CROSS JOIN LATERAL (SELECT order_id, version FROM events e WHERE e.order_id = asked.order_id) e
                 WHERE (SELECT count(*) FROM head) < 1000
                   AND asked.order_id NOT IN (SELECT unnest(order_ids) FROM head)"
            )
        ));
        bounded(statement.bind(order_ids).bind(lease.epoch).execute(&self.pool)).await.map(drop)
    }
}
