//! What a service publishes.

use async_trait::async_trait;
use rdkafka::message::OwnedHeaders;
use uuid::Uuid;

use crate::postgres::StoreError;

/// Says which record is not published yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Pointer {
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
    /// What points at it.
    pub fn pointer(&self) -> Pointer {
        Pointer { key: self.key, version: self.version }
    }
}

/// Where a service's outgoing records come from.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The records that pointers point at. One that does not exist (its order was purged) is left out, and its pointer is deleted.
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError>;
}
