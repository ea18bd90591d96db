//! Couriers that take jobs, as the database had them a moment ago. What is chosen from here is checked again by the statement that writes it.

use std::{collections::HashMap, time::Duration};

use comanda_kit::postgres::StoreError;
use comanda_proto::views::TripRow;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    model::Job,
    place::CourierKey,
    store::{Free, Store},
};

/// After how long it is read again: so long a courier of another replica that becomes available waits at most.
const FRESH: Duration = Duration::from_millis(250);

/// The couriers.
#[derive(Debug, Default)]
pub struct Available {
    couriers: HashMap<CourierKey, Free>,
    read: Option<Instant>,
}

impl Available {
    /// Reads it, unless it is fresh.
    pub async fn refresh(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.read.is_some_and(|read| read.elapsed() < FRESH) {
            return Ok(());
        }
        let asked = Instant::now();
        let free = store.available().await?;
        self.couriers = free.into_iter().map(|free| (CourierKey::new(&free.tenant, &free.courier_id), free)).collect();
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
