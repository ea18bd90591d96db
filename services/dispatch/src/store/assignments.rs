//! Reading assignments.

use std::collections::HashMap;

use comanda_kit::{
    access::Scope,
    postgres::{StoreError, bounded},
};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, assignment_columns, job_columns, jobs::CaseRow};
use crate::model::Case;

/// The columns of a [`CaseRow`]: a job `j`, an assignment `a` of it, and the time.
macro_rules! case_columns {
    () => {
        concat!(job_columns!(), ", ", assignment_columns!(), ", clock_timestamp() AS now")
    };
}

impl Store {
    /// One of the caller's assignments: the one of the attempt, or the latest.
    pub async fn assignment(
        &self,
        scope: &Scope,
        order_id: Uuid,
        attempt: Option<i32>,
    ) -> Result<Option<Case>, StoreError> {
        let statement = concat!(
            "SELECT ",
            case_columns!(),
            "
             FROM jobs j
             JOIN assignments a ON a.order_id = j.order_id
             WHERE j.tenant = $1 AND j.order_id = $2 AND ($3::int IS NULL OR a.attempt = $3)
             ORDER BY a.attempt DESC
             LIMIT 1"
        );
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(order_id).bind(attempt);
        let row = self.calls.repeated(|mut c| async { (statement().fetch_optional(&mut *c).await, c) }).await?;
        Ok(row.map(|row: CaseRow| row.into()))
    }

    /// Assignments by order and attempt, whatever their tenant.
    async fn cases_at(&self, keys: &[(Uuid, i32)]) -> Result<Vec<Case>, StoreError> {
        let (order_ids, attempts): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            case_columns!(),
            "
             FROM unnest($1::uuid[], $2::int[]) AS k (order_id, attempt)
             JOIN jobs j ON j.order_id = k.order_id
             JOIN assignments a ON a.order_id = k.order_id AND a.attempt = k.attempt"
        ));
        let rows: Vec<CaseRow> = bounded(statement.bind(order_ids).bind(attempts).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Offers that nobody answered in time, at most `limit`.
    pub async fn expired(&self, limit: i64) -> Result<Vec<Case>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            case_columns!(),
            "
             FROM assignments a
             JOIN jobs j ON j.order_id = a.order_id
             WHERE a.state = 1 AND a.offered_until <= now()
             ORDER BY a.offered_until
             LIMIT $1"
        ));
        let rows: Vec<CaseRow> = bounded(statement.bind(limit).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Who has which order now, by order: the next ones after an order, at most `limit`.
    pub async fn active(&self, after: Option<Uuid>, limit: i64) -> Result<Vec<Case>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            case_columns!(),
            "
             FROM assignments a
             JOIN jobs j ON j.order_id = a.order_id
             WHERE a.ended_at IS NULL AND a.state = 2 AND a.order_id > $1
             ORDER BY a.order_id
             LIMIT $2"
        ));
        let statement = statement.bind(after.unwrap_or_default()).bind(limit);
        let rows: Vec<CaseRow> = bounded(statement.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

/// Where a page of assignments ended: create_time, order and attempt of its last.
pub type Below = (OffsetDateTime, Uuid, i32);

/// Which assignments a list shows.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Only of this order.
    pub order_id: Option<Uuid>,
    /// Only of this courier.
    pub courier_id: Option<String>,
    /// Only those that have not ended.
    pub open_only: bool,
    /// Only those that stand behind this position.
    pub below: Option<Below>,
}

/// What is carried, and where to.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Content {
    pub order_id: Uuid,
    /// An order that holds items and trip.
    pub content: Vec<u8>,
}

/// A list, newest first, of assignments that are in `$condition`; $1 to $6: tenant, order, courier, and the position.
macro_rules! list {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            case_columns!(),
            "
             FROM assignments a
             JOIN jobs j ON j.order_id = a.order_id
             WHERE a.tenant = $1 AND ",
            $condition,
            " AND (a.create_time, a.order_id, a.attempt) < (coalesce($4::timestamptz, 'infinity'), coalesce($5::uuid, $8::uuid), coalesce($6::int, 0))
             ORDER BY a.create_time DESC, a.order_id DESC, a.attempt DESC
             LIMIT $7"
        )
    };
}

impl Store {
    /// The caller's assignments, newest first.
    pub async fn assignments(&self, scope: &Scope, listed: &Listed, limit: i64) -> Result<Vec<Case>, StoreError> {
        let statement = match listed {
            Listed { order_id: Some(_), open_only: true, .. } => {
                list!("a.order_id = $2 AND a.ended_at IS NULL AND ($3::text IS NULL OR a.courier_id = $3)")
            }
            Listed { order_id: Some(_), .. } => {
                list!("a.order_id = $2 AND ($3::text IS NULL OR a.courier_id = $3)")
            }
            Listed { open_only: true, .. } => return self.open_assignments(scope, listed, limit).await,
            Listed { courier_id: Some(_), .. } => list!("$2::uuid IS NULL AND a.courier_id = $3"),
            Listed { .. } => list!("$2::uuid IS NULL AND $3::text IS NULL"),
        };
        let (time, order_id, attempt) = listed
            .below
            .map_or((None, None, None), |(time, order_id, attempt)| (Some(time), Some(order_id), Some(attempt)));
        let statement = sqlx::query_as(statement)
            .bind(scope.tenant())
            .bind(listed.order_id)
            .bind(&listed.courier_id)
            .bind(time)
            .bind(order_id)
            .bind(attempt)
            .bind(limit)
            .bind(Uuid::max());
        let rows: Vec<CaseRow> = bounded(statement.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Open assignments are few, in an index of their own: they are sorted here, since Postgres would walk through the whole history to have
    /// them in order.
    async fn open_assignments(&self, scope: &Scope, listed: &Listed, limit: i64) -> Result<Vec<Case>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT create_time, order_id, attempt
             FROM assignments
             WHERE tenant = $1 AND ended_at IS NULL AND ($2::text IS NULL OR courier_id = $2)",
        );
        let statement = statement.bind(scope.tenant()).bind(&listed.courier_id);
        let mut keys: Vec<Below> = bounded(statement.fetch_all(&self.pool)).await?;
        keys.retain(|key| listed.below.is_none_or(|below| *key < below));
        keys.sort_unstable_by(|one, other| other.cmp(one));
        keys.truncate(usize::try_from(limit).unwrap_or_default());
        let keys: Vec<_> = keys.into_iter().map(|(_, order_id, attempt)| (order_id, attempt)).collect();
        let cases = self.cases_at(&keys).await?.into_iter();
        let mut by_order: HashMap<_, _> = cases.map(|case| (case.job.order_id, case)).collect();
        Ok(keys.iter().filter_map(|(order_id, _)| by_order.remove(order_id)).collect())
    }

    /// What the caller's orders hold; those that are gone are left out.
    pub async fn contents(&self, scope: &Scope, order_ids: &[Uuid]) -> Result<Vec<Content>, StoreError> {
        if order_ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = sqlx::query_as(
            "SELECT o.order_id, o.content
             FROM unnest($2::uuid[]) AS k (order_id)
             CROSS JOIN LATERAL (
                 SELECT order_id, content FROM ordering.order_contents WHERE order_id = k.order_id AND tenant = $1 LIMIT 1
             ) o",
        );
        bounded(statement.bind(scope.tenant()).bind(order_ids).fetch_all(&self.pool)).await
    }
}
