//! Keeps the epoch of the topic's log up to date, which also tells whether the database answers.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use comanda_kit::backoff::sleep;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::store::Store;

/// Keeps `epoch` up to date until the stop; `None` while the database does not answer.
pub async fn keep(
    store: Arc<Store>,
    epoch: watch::Sender<Option<i64>>,
    interval: Duration,
    stop: CancellationToken,
) -> Result<()> {
    while !stop.is_cancelled() {
        let found = store.topic_epoch().await.inspect_err(|error| warn!("the topic's epoch is not known: {error}"));
        epoch.send_if_modified(|known| std::mem::replace(known, found.as_ref().ok().copied()) != *known);
        sleep(interval, &stop).await;
    }
    Ok(())
}

/// Keeps `ready` true while the hub is ready and the database answers.
pub async fn report(
    mut hub: watch::Receiver<bool>,
    mut epoch: watch::Receiver<Option<i64>>,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> Result<()> {
    loop {
        let now = *hub.borrow_and_update() && epoch.borrow_and_update().is_some();
        ready.send_if_modified(|known| std::mem::replace(known, now) != now);
        tokio::select! {
            Ok(()) = hub.changed() => {}
            Ok(()) = epoch.changed() => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
