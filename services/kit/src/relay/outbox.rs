//! What a service publishes.

use async_trait::async_trait;
use rdkafka::message::OwnedHeaders;
use sqlx::FromRow;
use uuid::Uuid;

use crate::postgres::StoreError;

/// A row of an outbox: which record is not published yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromRow)]
#[allow(missing_docs)]
pub struct Pointer {
    #[sqlx(rename = "order_id")]
    pub key: Uuid,
    pub version: i64,
}

/// A record to publish.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Outgoing {
    pub key: Uuid,
    pub version: i64,
    pub headers: OwnedHeaders,
    pub payload: Vec<u8>,
}

impl Outgoing {
    /// The row of the outbox that points at it.
    pub fn pointer(&self) -> Pointer {
        Pointer { key: self.key, version: self.version }
    }
}

/// Where a service's outgoing records come from.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The records that pointers point at. One that does not exist (its order was purged) is left out, and its pointer is deleted.
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError>;

    /// For how many seconds the pointer that goes first has waited; 0 where there is none.
    async fn oldest_seconds(&self) -> Result<f64, StoreError>;
}
