//! What the relay publishes.

use comanda_kit::{
    kafka,
    postgres::StoreError,
    relay::{Outbox, Outgoing, Pointer},
};
use comanda_proto::{events::OrderTransition, views::TransitionRow};
use prost::Message;

use super::Store;

#[async_trait::async_trait]
impl Outbox for Store {
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError> {
        let keys: Vec<_> = pointers.iter().map(|pointer| pointer.key).collect();
        let versions: Vec<_> = pointers.iter().map(|pointer| pointer.version).collect();
        Ok(self.transitions(&keys, &versions).await?.into_iter().map(outgoing).collect())
    }
}

/// The record of a transition.
pub(super) fn outgoing(row: TransitionRow) -> Outgoing {
    let (key, version, traceparent) = (row.order_id, row.version, row.traceparent.clone());
    let event = OrderTransition::from(row);
    let headers = kafka::traced(kafka::headers(&event), traceparent.as_deref());
    Outgoing { key, version, headers, payload: event.encode_to_vec() }
}
