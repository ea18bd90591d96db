//! Couriers that take jobs, as the database had them a moment ago. What is chosen from here is checked again by the statement that writes it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use comanda_kit::postgres::StoreError;
use comanda_proto::views::TripRow;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    model::Job,
    place::CourierKey,
    store::{Free, Store},
    wake::Changed,
};

/// After how long all are read again: so long a courier that became available by a call of another replica waits at most.
const FRESH: Duration = Duration::from_secs(1);

/// The couriers.
#[derive(Debug, Default)]
pub struct Available {
    couriers: HashMap<CourierKey, Free>,
    read: Option<Instant>,
}

impl Available {
    /// Reads the couriers that have changed; all, where that was long ago.
    pub async fn refresh(&mut self, store: &Store, changed: Changed) -> Result<(), StoreError> {
        match changed {
            Changed::Some(changed) if self.read.is_some_and(|read| read.elapsed() < FRESH) => {
                self.refresh_some(store, &changed).await
            }
            _ => self.refresh_all(store).await,
        }
    }

    async fn refresh_some(&mut self, store: &Store, changed: &HashSet<CourierKey>) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        // Where this fails, all are read the next time.
        let read = self.read.take();
        let free = store.available_of(changed).await?;
        self.couriers.retain(|courier, _| !changed.contains(courier));
        self.couriers.extend(free.into_iter().map(keyed));
        self.read = read;
        Ok(())
    }

    async fn refresh_all(&mut self, store: &Store) -> Result<(), StoreError> {
        let asked = Instant::now();
        self.read = None;
        self.couriers = store.available().await?.into_iter().map(keyed).collect();
        self.read = Some(asked);
        Ok(())
    }

    /// It is to be read again before it is used.
    pub fn expire(&mut self) {
        self.read = None;
    }

    /// A courier got an order.
    pub fn take(&mut self, courier: &CourierKey) {
        if let Some(free) = self.couriers.get_mut(courier) {
            free.room -= 1;
            free.idle_since = None;
        }
    }

    /// Since when a courier has had nothing to do.
    pub fn idle_since(&self, courier: &CourierKey) -> Option<OffsetDateTime> {
        self.couriers.get(courier)?.idle_since
    }

    /// Whether a courier may have an order that begins at `begin`.
    pub fn may_have(&self, courier: &CourierKey, job: &Job, trip: &TripRow, begin: OffsetDateTime) -> bool {
        self.couriers.get(courier).is_some_and(|free| {
            free.room > 0
                && free.shift_end.is_none_or(|end| begin < end)
                && free.max_load >= trip.load
                && (trip.vehicle_kind.is_empty() || trip.vehicle_kind == free.vehicle_kind)
                && (trip.zone.is_empty() || free.zone.is_empty() || trip.zone == free.zone)
                && !job.declined.iter().any(|declined| **declined == *courier.courier_id)
        })
    }
}

fn keyed(free: Free) -> (CourierKey, Free) {
    (CourierKey::new(&free.tenant, &free.courier_id), free)
}
