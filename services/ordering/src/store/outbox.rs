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

use super::Store;

/// What is published of an order.
#[derive(FromRow)]
pub(super) struct PlacedRow {
    pub order_id: Uuid,
    pub version: i64,
    pub tenant: String,
    pub number: i64,
    pub customer_id: String,
    pub workflow: String,
    pub workflow_revision: i32,
    pub first_status: String,
    pub create_time: OffsetDateTime,
    pub currency: String,
    pub total_units: i64,
    pub total_nanos: i32,
    pub item_count: i32,
    pub start_time: Option<OffsetDateTime>,
    pub traceparent: Option<String>,
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
                        f.create_time, f.currency, f.total_units, f.total_nanos, f.item_count, f.start_time, f.traceparent
                 FROM unnest($1::uuid[], $2::bigint[]) AS o (order_id, version)
                 CROSS JOIN LATERAL (
                     SELECT tenant, number, customer_id, workflow, workflow_revision, first_status, create_time,
                            currency, total_units, total_nanos, item_count, start_time, traceparent
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

/// The record of an order.
pub(super) fn outgoing(row: PlacedRow) -> Outgoing {
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
        headers: kafka::traced(kafka::headers(&event), row.traceparent.as_deref()),
        payload: event.encode_to_vec(),
    }
}
