//! Compares what the streams of single orders have sent with the store, in case the topic never brings a transition.

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

/// Looks after the streams of a hub.
pub struct Repair {
    /// The streams.
    pub hub: Arc<Hub>,
    /// What they should know.
    pub store: Arc<Store>,
    /// How often to compare.
    pub interval: Duration,
    /// How long a reader may take nothing.
    pub stall: Duration,
}

impl Repair {
    /// Compares again and again until the stop.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            sleep(self.interval, &stop).await;
            self.hub.clean(self.stall);
            match self.compare().await {
                Ok(0) => {}
                Ok(repaired) => warn!(repaired, "watches read the store: the topic had not brought what it holds"),
                Err(error) => warn!("watches were not compared with the store: {error}"),
            }
        }
        Ok(())
    }

    /// Makes the streams that lag read the store; tells how many.
    pub async fn compare(&self) -> Result<usize, StoreError> {
        let mut repaired = 0;
        for batch in self.hub.resting().chunks(BATCH) {
            let (order_ids, versions): (Vec<Uuid>, Vec<i64>) = batch.iter().copied().unzip();
            let ahead = self.store.ahead_of(order_ids, versions).await?;
            repaired += ahead.into_iter().map(|(order_id, version)| self.hub.repair(order_id, version)).sum::<usize>();
        }
        counter!("comanda_watch_repairs_total").increment(repaired as u64);
        Ok(repaired)
    }
}
