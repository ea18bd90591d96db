//! Expected times, every 15 seconds: what changed by more than a minute, and broken promises, are written and told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use comanda_kit::{
    backoff::sleep,
    lease::{Elector, Lease},
    postgres::StoreError,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::trips::{Trip, trip};
use crate::{change::Change, eta::refresh, grid::Grid, model::Case, store::Store, travel::Travel};

/// How often expected times are looked at.
const INTERVAL: Duration = Duration::from_secs(15);
/// How many assignments one statement reads or writes.
const BATCH: usize = 500;

/// Keeps expected times.
pub struct ExpectedTimes {
    store: Store,
    grid: Arc<Grid>,
    travel: Arc<dyn Travel>,
    relay: Arc<Notify>,
}

impl ExpectedTimes {
    /// `relay` is notified of events.
    pub fn new(store: Store, (grid, travel): (Arc<Grid>, Arc<dyn Travel>), relay: Arc<Notify>) -> Self {
        Self { store, grid, travel, relay }
    }

    /// Goes on for as long as this replica leads, until `stop`.
    pub async fn run(self, elector: Elector, stop: CancellationToken) {
        while let Some(lease) = elector.held(&stop).await {
            if let Err(error) = self.refresh_all(lease).await {
                warn!("expected times stay as they are: {error}");
            }
            sleep(INTERVAL, &stop).await;
        }
    }

    /// Looks at every order that a courier has. Returns of how many something was told.
    pub async fn refresh_all(&self, lease: Lease) -> Result<usize, StoreError> {
        let (mut after, mut told) = (None, 0);
        loop {
            let page = self.store.active(after, BATCH as i64).await?;
            told += self.refresh(&page, lease).await?;
            after = page.last().map(|case| case.job.order_id);
            if page.len() < BATCH || !lease.is_live() {
                return Ok(told);
            }
        }
    }

    async fn refresh(&self, page: &[Case], lease: Lease) -> Result<usize, StoreError> {
        let order_ids: Vec<_> = page.iter().map(|case| case.job.order_id).collect();
        // Read each time: of an order whose customer was erased there must be nothing left here either.
        let trips = self.store.trips(&order_ids).await?.into_iter().filter_map(trip);
        let trips: HashMap<_, _> = trips.map(|trip| (trip.row.order_id, trip)).collect();
        let changes = page.iter().filter_map(|case| self.change(case, trips.get(&case.job.order_id)?));
        let told = self.store.apply(changes.collect(), Some(lease)).await?.len();
        if told > 0 {
            self.relay.notify_one();
        }
        Ok(told)
    }

    fn change(&self, case: &Case, trip: &Trip) -> Option<Change> {
        let courier = case.assignment.as_ref()?.courier();
        let at = self.grid.last_seen(&courier).map(|seen| seen.point);
        refresh(case, trip, at, &*self.travel)
    }
}
