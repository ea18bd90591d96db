//! What the relay publishes.

use comanda_kit::{
    kafka,
    postgres::{StoreError, bounded},
    relay::{Outbox, Outgoing, Pointer},
};
use comanda_proto::{events::OrderTransition, transition_columns, views::TransitionRow};
use prost::Message;

use super::Store;

#[async_trait::async_trait]
impl Outbox for Store {
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError> {
        let keys: Vec<_> = pointers.iter().map(|pointer| pointer.key).collect();
        let versions: Vec<_> = pointers.iter().map(|pointer| pointer.version).collect();
        let mut connection = self.dedicated.take().await?;
        // The inner limit keeps the order of the join: without statistics Postgres would read the whole history first.
        let rows: Result<Vec<TransitionRow>, _> = bounded(
            sqlx::query_as(concat!(
                "SELECT ",
                transition_columns!(),
                " FROM unnest($1::uuid[], $2::bigint[]) AS o (order_id, version)
                 CROSS JOIN LATERAL (
                     SELECT ",
                transition_columns!(),
                "    FROM order_history h WHERE h.order_id = o.order_id AND h.version = o.version LIMIT 1
                 ) h",
            ))
            .bind(keys)
            .bind(versions)
            .fetch_all(&mut *connection),
        )
        .await;
        Ok(connection.end(rows)?.into_iter().map(outgoing).collect())
    }
}

/// The record of a transition.
pub(super) fn outgoing(row: TransitionRow) -> Outgoing {
    let (key, version) = (row.order_id, row.version);
    let event = OrderTransition::from(row);
    Outgoing { key, version, headers: kafka::headers(&event), payload: event.encode_to_vec() }
}
