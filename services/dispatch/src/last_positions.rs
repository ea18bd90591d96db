//! Writes the last position of each courier that moved to the database, every 15 seconds: however often couriers report, a row is written at
//! most so often. Only the leader does.

use std::{sync::Arc, time::Duration};

use comanda_kit::{
    backoff::sleep,
    lease::{Elector, Lease},
    postgres::StoreError,
};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{grid::Grid, store::Store};

/// How often positions are written.
const INTERVAL: Duration = Duration::from_secs(15);
/// How often old ones are removed.
const CLEANING: Duration = Duration::from_secs(60 * 60);

/// Keeps the database's positions.
pub struct LastPositions {
    grid: Arc<Grid>,
    store: Store,
    /// The term in which the positions of the database were taken over.
    term: Option<i64>,
    cleaned: Option<Instant>,
}

impl LastPositions {
    /// Of this grid.
    pub fn new(grid: Arc<Grid>, store: Store) -> Self {
        Self { grid, store, term: None, cleaned: None }
    }

    /// Writes for as long as this replica leads, until `stop`.
    pub async fn run(mut self, elector: Elector, stop: CancellationToken) {
        while let Some(lease) = elector.held(&stop).await {
            if let Err(error) = self.write_next(lease).await {
                warn!("the last positions were not written: {error}");
            }
            self.grid.forget_old(OffsetDateTime::now_utc());
            sleep(INTERVAL, &stop).await;
        }
    }

    /// Writes what moved since the last time; returns how many couriers did. A new leader first takes over what the database has: the one
    /// before may have read further.
    pub async fn write_next(&mut self, lease: Lease) -> Result<usize, StoreError> {
        if self.term != Some(lease.epoch) {
            self.store.restore_positions(&self.grid).await?;
            self.term = Some(lease.epoch);
        }
        let unstored = self.grid.unstored();
        if !self.store.store_positions(lease, &unstored).await? {
            return Ok(0);
        }
        self.grid.note_stored(&unstored);
        self.clean().await?;
        Ok(unstored.len())
    }

    async fn clean(&mut self) -> Result<(), StoreError> {
        if self.cleaned.is_none_or(|cleaned| cleaned.elapsed() >= CLEANING) {
            self.store.remove_old_positions().await?;
            self.cleaned = Some(Instant::now());
        }
        Ok(())
    }
}
