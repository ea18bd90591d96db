//! Forgets the gates of orders that are gone: an order that still exists may be published again.

use std::time::Duration;

use comanda_kit::{backoff::sleep, lease::Elector, postgres::StoreError};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::store::Store;

/// How often some gates are looked at ..
const INTERVAL: Duration = Duration::from_secs(60);
/// .. and how many.
const CHUNK: i64 = 2000;

/// Forgets gates that are old enough while this replica leads, until `stop`.
pub async fn run(store: Store, gate_days: u16, elector: Elector, stop: CancellationToken) {
    let mut after = beginning();
    while let Some(lease) = elector.held(&stop).await {
        match tidy(&store, gate_days, lease.epoch, after).await {
            Ok(next) => after = next,
            Err(error) => warn!("no gates are forgotten: {error}"),
        }
        sleep(INTERVAL, &stop).await;
    }
}

fn beginning() -> (OffsetDateTime, Uuid) {
    (OffsetDateTime::UNIX_EPOCH, Uuid::nil())
}

/// Looks at the gates after one, and says where to go on: from the beginning after the last.
pub async fn tidy(
    store: &Store,
    gate_days: u16,
    lease_epoch: i64,
    after: (OffsetDateTime, Uuid),
) -> Result<(OffsetDateTime, Uuid), StoreError> {
    let ended = store.ended_gates(gate_days, after, CHUNK).await?;
    let order_ids: Vec<_> = ended.iter().map(|(_, order_id)| *order_id).collect();
    let purged = store.purged(&order_ids).await?;
    if !purged.is_empty() {
        store.forget_gates(lease_epoch, &purged).await?;
        info!(orders = purged.len(), "forgot the gates of orders that are gone");
    }
    Ok(ended.last().copied().unwrap_or_else(beginning))
}
