//! Compares what WatchOrder streams were told with the store, in case the topic never brings a transition.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use comanda_kit::{backoff::sleep, postgres::StoreError};
use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{hub::Hub, store::Store};

/// How many orders one query compares.
const BATCH: usize = 10_000;

/// Looks after a hub.
pub struct Repair {
    /// The streams.
    pub hub: Arc<Hub>,
    /// What they should know.
    pub store: Arc<Store>,
    /// How often to compare.
    pub interval: Duration,
}

impl Repair {
    /// Compares again and again until the stop.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            sleep(self.interval, &stop).await;
            self.hub.evict();
            match self.compare().await {
                Ok(0) => {}
                Ok(streams) => warn!(streams, "streams read the store: the topic had not brought what it holds"),
                Err(error) => warn!("streams were not compared with the store: {error}"),
            }
        }
        Ok(())
    }

    /// Makes the streams that lag read the store; returns how many.
    async fn compare(&self) -> Result<usize, StoreError> {
        let mut streams = 0;
        for batch in self.hub.watched().chunks(BATCH) {
            let (order_ids, versions): (Vec<Uuid>, Vec<i64>) = batch.iter().copied().unzip();
            for (order_id, version) in self.store.ahead_of(order_ids, versions).await? {
                streams += self.hub.reread(order_id, Some(version));
            }
        }
        counter!("comanda_watch_repairs_total").increment(streams as u64);
        Ok(streams)
    }
}
