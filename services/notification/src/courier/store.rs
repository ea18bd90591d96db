//! The read of an order's courier.

use comanda_kit::postgres::{StoreError, bounded};
use comanda_proto::{v1::Workflow, views::CourierRow};
use sqlx::{FromRow, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use super::{InHands, in_hands};

/// An order's status and its courier, of one moment.
const OF_ORDER: &str = "
    SELECT
        s.status, s.phase,
        c.order_id, c.tenant, c.attempt, c.courier_id, c.name, c.vehicle, c.plate, c.promised_pickup_time,
        c.expected_pickup_time, c.expected_dropoff_time, c.confirm_time, c.pickup_time
    FROM state_machine.order_states s
    LEFT JOIN dispatch.order_couriers c ON c.order_id = s.order_id AND c.tenant = s.tenant
    WHERE s.order_id = $1 AND s.tenant = $2";

/// In whose hands a tenant's order is now.
pub async fn of_order(pool: &PgPool, tenant: &str, order_id: Uuid, workflow: &Workflow) -> Result<InHands, StoreError> {
    let row = bounded(sqlx::query(OF_ORDER).bind(order_id).bind(tenant).fetch_optional(pool)).await?;
    Ok(row.map_or(Ok(InHands::Nobodys), |row| judge(&row, workflow))?)
}

fn judge(row: &PgRow, workflow: &Workflow) -> Result<InHands, sqlx::Error> {
    let (status, phase): (String, i16) = (row.try_get("status")?, row.try_get("phase")?);
    let has_courier = row.try_get::<Option<i32>, _>("attempt")?.is_some();
    let courier = has_courier.then(|| CourierRow::from_row(row)).transpose()?;
    Ok(in_hands(workflow, &status, phase.into(), courier))
}
