//! What the relay publishes.

use comanda_kit::{
    kafka,
    postgres::{StoreError, bounded},
    relay::{Outbox, Outgoing, Pointer},
};
use comanda_proto::{events::AssignmentEvent, views::timestamp};
use prost::Message;
use sqlx::FromRow;
use time::OffsetDateTime;
use tracing::error;
use uuid::Uuid;

use super::Store;

#[derive(FromRow)]
struct EventRow {
    order_id: Uuid,
    version: i64,
    tenant: String,
    event_time: OffsetDateTime,
    content: Vec<u8>,
}

#[async_trait::async_trait]
impl Outbox for Store {
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError> {
        let keys: Vec<_> = pointers.iter().map(|pointer| pointer.key).collect();
        let versions: Vec<_> = pointers.iter().map(|pointer| pointer.version).collect();
        let mut connection = self.dedicated.take().await?;
        let rows: Result<Vec<EventRow>, _> = bounded(
            sqlx::query_as(
                "SELECT e.order_id, e.version, e.tenant, e.event_time, e.content
                 FROM unnest($1::uuid[], $2::bigint[]) AS o (order_id, version)
                 CROSS JOIN LATERAL (
                     SELECT e.order_id, e.version, e.tenant, e.event_time, e.content
                     FROM events e
                     WHERE e.order_id = o.order_id AND e.version = o.version
                     LIMIT 1
                 ) e",
            )
            .bind(keys)
            .bind(versions)
            .fetch_all(&mut *connection),
        )
        .await;
        connection.end(rows)?.into_iter().map(outgoing).collect()
    }
}

fn outgoing(row: EventRow) -> Result<Outgoing, StoreError> {
    let content = AssignmentEvent::decode(&*row.content).inspect_err(|_| {
        error!(order_id = %row.order_id, version = row.version, "an event of dispatch cannot be read");
    })?;
    let event = AssignmentEvent {
        order_id: row.order_id.to_string(),
        version: row.version,
        tenant: row.tenant,
        event_time: Some(timestamp(row.event_time)),
        ..content
    };
    Ok(Outgoing {
        key: row.order_id,
        version: row.version,
        headers: kafka::headers(&event),
        payload: event.encode_to_vec(),
    })
}
