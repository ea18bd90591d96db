//! What the leader measures for all replicas: timers that wait, and the revisions that new orders get.

use std::time::Duration;

use comanda_kit::{backoff::sleep, lease::Elector, postgres::StoreError};
use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::Store;

/// How often it is measured ..
const INTERVAL: Duration = Duration::from_secs(5);
/// .. and up to how many due timers are counted: counting a large backlog must not slow down its end.
const MOST_COUNTED: i64 = 10_000;

/// Measures for as long as this replica leads, until `stop`.
pub async fn run(store: Store, elector: Elector, stop: CancellationToken) {
    while elector.held(&stop).await.is_some() {
        if let Err(error) = measure(&store).await {
            warn!("not measured: {error}");
        }
        sleep(INTERVAL, &stop).await;
    }
}

async fn measure(store: &Store) -> Result<(), StoreError> {
    gauge!("comanda_timers_due").set(store.due_count(MOST_COUNTED).await? as f64);
    for current in store.choices().await? {
        gauge!("comanda_workflow_revision", "workflow" => current.name.clone()).set(f64::from(current.revision));
        let changes = u64::try_from(current.changes).unwrap_or_default();
        counter!("comanda_workflow_changes_total", "workflow" => current.name).absolute(changes);
    }
    Ok(())
}
