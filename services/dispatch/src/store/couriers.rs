//! Couriers: what is registered, whether they take jobs, and who has room for one more.

use std::collections::HashSet;

use comanda_kit::{
    access::Scope,
    planted_sql,
    postgres::{StoreError, bounded},
};
use comanda_proto::v1::CourierStatus;
use sqlx::FromRow;
use time::OffsetDateTime;

use super::Store;
use crate::place::CourierKey;

/// What the business says of a courier.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
#[allow(missing_docs)]
pub struct Registered {
    pub courier_id: String,
    pub name: String,
    pub vehicle: String,
    pub plate: String,
    /// Empty: none in particular.
    pub vehicle_kind: String,
    /// Empty: any.
    pub zone: String,
    pub capacity: i32,
    pub max_load: i32,
    pub shift_end: Option<OffsetDateTime>,
}

/// A courier as it is now.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct CourierRow {
    #[sqlx(flatten)]
    pub registered: Registered,
    pub status: i16,
    pub idle_since: Option<OffsetDateTime>,
    pub open_assignments: i64,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub position_time: Option<OffsetDateTime>,
}

/// A courier that takes jobs.
#[derive(Clone, Debug, FromRow)]
pub struct Free {
    /// Whose courier it is.
    pub tenant: String,
    /// The business's key for it.
    pub courier_id: String,
    /// As in a trip; empty: none in particular.
    pub vehicle_kind: String,
    /// As in a trip; empty: any.
    pub zone: String,
    /// The most that one of its trips carries.
    pub max_load: i32,
    /// When its shift ends.
    pub shift_end: Option<OffsetDateTime>,
    /// How many jobs it has room for; 0 or less: none.
    pub room: i64,
    /// Since when it has nothing to do.
    pub idle_since: Option<OffsetDateTime>,
}

/// Couriers as they are now, called `c`.
macro_rules! courier_rows {
    () => {
        "SELECT c.courier_id, c.name, c.vehicle, c.plate, c.vehicle_kind, c.zone, c.capacity, c.max_load, c.shift_end, c.status,
                c.idle_since, o.open_assignments, p.latitude, p.longitude, p.position_time
         FROM couriers c
         CROSS JOIN LATERAL (
             SELECT count(*) AS open_assignments
             FROM assignments a
             WHERE a.tenant = c.tenant AND a.courier_id = c.courier_id AND a.ended_at IS NULL
         ) o
         LEFT JOIN positions p ON p.tenant = c.tenant AND p.courier_id = c.courier_id
         WHERE c.tenant = $1 "
    };
}

/// Couriers that take jobs, of those in `$from`, where they are called `c`.
macro_rules! available {
    ($from:literal) => {
        concat!(
            "SELECT c.tenant, c.courier_id, c.vehicle_kind, c.zone, c.max_load, c.shift_end, c.idle_since,
                    c.capacity - o.count AS room ",
            $from,
            " CROSS JOIN LATERAL (
                  SELECT count(*) FROM assignments a
                  WHERE a.tenant = c.tenant AND a.courier_id = c.courier_id AND a.ended_at IS NULL
              ) o
              WHERE c.status = 2"
        )
    };
}

impl Store {
    /// Stores what the business says of a courier. A new one takes no jobs yet; a known one keeps its status.
    pub async fn register(&self, scope: &Scope, courier: &Registered) -> Result<(), StoreError> {
        let statement = || {
            sqlx::query(
                "INSERT INTO couriers AS c
                     (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, shift_end, status)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 ON CONFLICT (tenant, courier_id) DO UPDATE
                 SET name = excluded.name, vehicle = excluded.vehicle, plate = excluded.plate, vehicle_kind = excluded.vehicle_kind,
                     zone = excluded.zone, capacity = excluded.capacity, max_load = excluded.max_load, shift_end = excluded.shift_end,
                     revision = c.revision + 1, update_time = now()
                 WHERE (c.name, c.vehicle, c.plate, c.vehicle_kind, c.zone, c.capacity, c.max_load, c.shift_end)
                       IS DISTINCT FROM
                       (excluded.name, excluded.vehicle, excluded.plate, excluded.vehicle_kind, excluded.zone, excluded.capacity,
                        excluded.max_load, excluded.shift_end)",
            )
            .bind(scope.tenant())
            .bind(&courier.courier_id)
            .bind(&courier.name)
            .bind(&courier.vehicle)
            .bind(&courier.plate)
            .bind(&courier.vehicle_kind)
            .bind(&courier.zone)
            .bind(courier.capacity)
            .bind(courier.max_load)
            .bind(courier.shift_end)
            .bind(CourierStatus::Offline as i16)
        };
        self.calls.repeated(|mut c| async { (statement().execute(&mut *c).await, c) }).await.map(drop)
    }

    /// Says whether a courier takes jobs; a shift's end that is not given stays as it is. False where there is no such courier.
    pub async fn set_status(
        &self,
        scope: &Scope,
        courier_id: &str,
        status: CourierStatus,
        shift_end: Option<OffsetDateTime>,
    ) -> Result<bool, StoreError> {
        let statement = || {
            sqlx::query(
                "UPDATE couriers c
                 SET status = $3::smallint,
                     shift_end = coalesce($4::timestamptz, c.shift_end),
                     idle_since = CASE
                         WHEN $3::smallint = 2 AND NOT EXISTS (
                             SELECT FROM assignments a
                             WHERE a.tenant = c.tenant AND a.courier_id = c.courier_id AND a.ended_at IS NULL
                         ) THEN coalesce(c.idle_since, now())
                     END,
                     revision = c.revision + (c.status <> $3::smallint)::int,
                     update_time = now()
                 WHERE c.tenant = $1 AND c.courier_id = $2",
            )
            .bind(scope.tenant())
            .bind(courier_id)
            .bind(status as i16)
            .bind(shift_end)
        };
        let done = self.calls.repeated(|mut c| async { (statement().execute(&mut *c).await, c) }).await?;
        Ok(done.rows_affected() > 0)
    }

    /// One of the caller's couriers.
    pub async fn courier(&self, scope: &Scope, courier_id: &str) -> Result<Option<CourierRow>, StoreError> {
        let statement = concat!(courier_rows!(), "AND c.courier_id = $2");
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(courier_id);
        self.calls.repeated(|mut c| async { (statement().fetch_optional(&mut *c).await, c) }).await
    }

    /// The caller's couriers with these keys.
    pub async fn couriers_of(&self, scope: &Scope, courier_ids: &[&str]) -> Result<Vec<CourierRow>, StoreError> {
        let statement = concat!(courier_rows!(), "AND c.courier_id = ANY ($2)");
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(courier_ids);
        self.calls.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }

    /// The caller's couriers by key, after one: those in one of `statuses` (all where there are none) and of a zone (any where it is empty).
    pub async fn couriers(
        &self,
        scope: &Scope,
        statuses: &[i16],
        zone: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<CourierRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            courier_rows!(),
            "AND c.courier_id > $4 AND (cardinality($2::smallint[]) = 0 OR c.status = ANY ($2)) AND ($3 = '' OR c.zone = $3)
             ORDER BY c.courier_id
             LIMIT $5"
        ));
        let statement = statement.bind(scope.tenant()).bind(statuses).bind(zone).bind(after).bind(limit);
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// Every courier of every tenant that takes jobs, and how much room each has.
    pub async fn available(&self) -> Result<Vec<Free>, StoreError> {
        let mut connection = self.dedicated.take().await?;
        let statement = sqlx::query_as(planted_sql!(
            available!("FROM couriers c"),
            "no-slot-index": "c.capacity - o.count AS room" => "c.capacity::bigint AS room",
        ));
        let rows = bounded(statement.fetch_all(&mut *connection)).await;
        connection.end(rows)
    }

    /// Those of these couriers that take jobs.
    pub async fn available_of(&self, couriers: &HashSet<CourierKey>) -> Result<Vec<Free>, StoreError> {
        let tenants: Vec<_> = couriers.iter().map(|courier| &*courier.tenant).collect();
        let ids: Vec<_> = couriers.iter().map(|courier| &*courier.courier_id).collect();
        let mut connection = self.dedicated.take().await?;
        let statement = sqlx::query_as(planted_sql!(
            available!(
                "FROM unnest($1::text[], $2::text[]) AS k (tenant, courier_id)
                 JOIN couriers c ON c.tenant = k.tenant AND c.courier_id = k.courier_id"
            ),
            "no-slot-index": "c.capacity - o.count AS room" => "c.capacity::bigint AS room",
        ));
        let rows = bounded(statement.bind(tenants).bind(ids).fetch_all(&mut *connection)).await;
        connection.end(rows)
    }
}
