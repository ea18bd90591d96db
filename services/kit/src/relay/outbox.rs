//! What a service publishes.

use async_trait::async_trait;
use rdkafka::message::OwnedHeaders;
use uuid::Uuid;

use crate::postgres::StoreError;

/// A record to publish, and the row of the outbox that points at it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Outgoing {
    pub key: Uuid,
    pub version: i64,
    pub headers: OwnedHeaders,
    pub payload: Vec<u8>,
}

/// Where a service's outgoing records come from.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The lowest unpublished version of each key, at most `limit`, with what to publish.
    async fn next(&self, limit: i64) -> Result<Vec<Outgoing>, StoreError>;

    /// For how many seconds the pointer that goes first has waited; 0 where there is none.
    async fn oldest_seconds(&self) -> Result<f64, StoreError>;
}
