//! What the relay publishes.

use comanda_kit::{
    kafka,
    postgres::{StoreError, bounded},
    relay::{Outbox, Outgoing, Pointer},
};
use comanda_proto::{Money, events::OrderPlaced, views::timestamp};
use prost::Message;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, Stored};
use crate::order::NewOrder;

#[derive(FromRow)]
struct PlacedRow {
    order_id: Uuid,
    version: i64,
    tenant: String,
    number: i64,
    customer_id: String,
    workflow: String,
    workflow_revision: i32,
    first_status: String,
    create_time: OffsetDateTime,
    currency: String,
    total_units: i64,
    total_nanos: i32,
    item_count: i32,
    start_time: Option<OffsetDateTime>,
}

#[async_trait::async_trait]
impl Outbox for Store {
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError> {
        let keys: Vec<_> = pointers.iter().map(|pointer| pointer.key).collect();
        let versions: Vec<_> = pointers.iter().map(|pointer| pointer.version).collect();
        let mut connection = self.dedicated.take().await?;
        // The inner limit keeps Postgres from turning the join round: without statistics it would read every order first.
        let rows: Result<Vec<PlacedRow>, _> = bounded(
            sqlx::query_as(
                "SELECT o.order_id, o.version, f.tenant, f.number, f.customer_id, f.workflow, f.workflow_revision, f.first_status,
                        f.create_time, f.currency, f.total_units, f.total_nanos, f.item_count, f.start_time
                 FROM unnest($1::uuid[], $2::bigint[]) AS o (order_id, version)
                 CROSS JOIN LATERAL (
                     SELECT tenant, number, customer_id, workflow, workflow_revision, first_status, create_time,
                            currency, total_units, total_nanos, item_count, start_time
                     FROM order_facts
                     WHERE order_id = o.order_id
                     LIMIT 1
                 ) f",
            )
            .bind(keys)
            .bind(versions)
            .fetch_all(&mut *connection),
        )
        .await;
        Ok(connection.end(rows)?.into_iter().map(outgoing).collect())
    }
}

/// The record of an order that was stored just now: the same as is made of its rows.
pub(super) fn record(order: &NewOrder, stored: &Stored) -> Outgoing {
    let total = order.content.total.clone().unwrap_or_default();
    outgoing(PlacedRow {
        order_id: order.order_id,
        version: 1,
        tenant: order.scope.tenant().to_owned(),
        number: stored.number,
        customer_id: order.customer.customer_id.clone(),
        workflow: order.workflow.name.clone(),
        workflow_revision: order.workflow.revision,
        first_status: order.first_status().to_owned(),
        create_time: stored.create_time,
        currency: total.currency_code,
        total_units: total.units,
        total_nanos: total.nanos,
        item_count: order.content.items.len() as i32,
        start_time: order.start_time,
    })
}

fn outgoing(row: PlacedRow) -> Outgoing {
    let event = OrderPlaced {
        order_id: row.order_id.to_string(),
        number: row.number,
        customer_id: row.customer_id,
        workflow: row.workflow,
        workflow_revision: row.workflow_revision,
        status: row.first_status,
        create_time: Some(timestamp(row.create_time)),
        tenant: row.tenant,
        total: Some(Money { currency_code: row.currency, units: row.total_units, nanos: row.total_nanos }),
        item_count: row.item_count,
        start_time: row.start_time.map(timestamp),
    };
    Outgoing {
        key: row.order_id,
        version: row.version,
        headers: kafka::headers(&event),
        payload: event.encode_to_vec(),
    }
}
