//! What couriers are shown, and since which revision.

use comanda_kit::postgres::{StoreError, bounded};
use comanda_proto::v1::{self, AssignmentState, CourierStatus, Order, WatchCourierResponse};
use prost::Message as _;
use sqlx::{FromRow, Row as _, postgres::PgRow};

use super::Store;
use crate::{model::Assignment, place::CourierKey, shown::message};

impl Store {
    /// The revisions of couriers, those that exist.
    pub async fn revisions(&self, couriers: &[CourierKey]) -> Result<Vec<(CourierKey, i64)>, StoreError> {
        let tenants: Vec<_> = couriers.iter().map(|courier| &*courier.tenant).collect();
        let ids: Vec<_> = couriers.iter().map(|courier| &*courier.courier_id).collect();
        let rows: Vec<(String, String, i64)> = bounded(
            sqlx::query_as(
                "SELECT k.tenant, k.courier_id, c.revision
                 FROM unnest($1::text[], $2::text[]) AS k (tenant, courier_id)
                 CROSS JOIN LATERAL (
                     SELECT c.revision FROM couriers c WHERE c.tenant = k.tenant AND c.courier_id = k.courier_id LIMIT 1
                 ) c",
            )
            .bind(tenants)
            .bind(ids)
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows.into_iter().map(|(tenant, id, revision)| (CourierKey::new(&tenant, &id), revision)).collect())
    }

    /// What a courier is shown now: its open offers and confirmed assignments, oldest first. `None` where there is no such courier.
    pub async fn shown_to(&self, courier: &CourierKey) -> Result<Option<WatchCourierResponse>, StoreError> {
        let rows = bounded(
            sqlx::query(
                // One statement: a revision and what belongs to it. The few rows are sorted here, since Postgres would read the whole history
                // of the courier to have them in order.
                "SELECT c.revision, c.status, c.name, c.vehicle, c.plate,
                        a.order_id, a.attempt, a.tenant, a.courier_id, a.state, a.outcome, a.offered_until, a.promised_pickup_time,
                        a.expected_pickup_time, a.expected_dropoff_time, a.create_time, a.allot_time, a.confirm_time, a.arrive_time,
                        a.pickup_time, a.delay_told_time, a.ended_at, o.number, o.content
                 FROM couriers c
                 LEFT JOIN LATERAL (
                     SELECT a.order_id, a.attempt, a.tenant, a.courier_id, a.state, a.outcome, a.offered_until, a.promised_pickup_time,
                            a.expected_pickup_time, a.expected_dropoff_time, a.create_time, a.allot_time, a.confirm_time, a.arrive_time,
                            a.pickup_time, a.delay_told_time, a.ended_at
                     FROM assignments a
                     WHERE a.tenant = c.tenant AND a.courier_id = c.courier_id AND a.ended_at IS NULL
                       AND (a.state = $3 OR a.confirm_time IS NOT NULL)
                 ) a ON true
                 LEFT JOIN LATERAL (
                     SELECT o.number, o.content FROM ordering.order_contents o WHERE o.order_id = a.order_id LIMIT 1
                 ) o ON true
                 WHERE c.tenant = $1 AND c.courier_id = $2",
            )
            .bind(&*courier.tenant)
            .bind(&*courier.courier_id)
            .bind(AssignmentState::Offered as i16)
            .fetch_all(&self.pool),
        )
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let status: i16 = first.try_get("status")?;
        let mut assignments = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<i32>, _>("attempt")?.is_some() {
                assignments.push((Assignment::from_row(row)?.create_time, shown(row)?));
            }
        }
        assignments.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.order_id.cmp(&b.order_id)));
        Ok(Some(WatchCourierResponse {
            revision: first.try_get("revision")?,
            status: CourierStatus::try_from(i32::from(status)).unwrap_or_default().into(),
            assignments: assignments.into_iter().map(|(_, assignment)| assignment).collect(),
        }))
    }
}

fn shown(row: &PgRow) -> Result<v1::Assignment, StoreError> {
    let courier = v1::Courier {
        courier_id: row.try_get("courier_id")?,
        name: row.try_get("name")?,
        vehicle: row.try_get("vehicle")?,
        plate: row.try_get("plate")?,
        ..v1::Courier::default()
    };
    let content: Option<Vec<u8>> = row.try_get("content")?;
    let content = Order::decode(&*content.unwrap_or_default())?;
    let number: Option<i64> = row.try_get("number")?;
    Ok(v1::Assignment {
        number: number.unwrap_or_default(),
        trip: content.trip,
        items: content.items,
        ..message(&Assignment::from_row(row)?, courier)
    })
}
