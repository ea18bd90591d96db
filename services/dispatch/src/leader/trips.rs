//! Where the orders that wait are picked up and go. Kept in memory alone, for as long as they wait.

use std::collections::{HashMap, HashSet};

use comanda_kit::postgres::StoreError;
use comanda_proto::views::TripRow;
use uuid::Uuid;

use crate::{place::Point, store::Store};

/// A trip with its places.
#[derive(Clone, Debug)]
pub struct Trip {
    /// What it needs, and when.
    pub row: TripRow,
    /// Where it begins.
    pub pickup: Point,
    /// Where it ends.
    pub dropoff: Point,
}

/// Trips by order.
#[derive(Debug, Default)]
pub struct Trips(HashMap<Uuid, Trip>);

impl Trips {
    /// Reads those that are not known yet.
    pub async fn load(&mut self, store: &Store, order_ids: &[Uuid]) -> Result<(), StoreError> {
        let unknown: Vec<_> = order_ids.iter().filter(|order_id| !self.0.contains_key(order_id)).copied().collect();
        if !unknown.is_empty() {
            let rows = store.trips(&unknown).await?;
            self.0.extend(rows.into_iter().filter_map(trip).map(|trip| (trip.row.order_id, trip)));
        }
        Ok(())
    }

    /// The trip of an order; `None` where it is gone.
    pub fn get(&self, order_id: &Uuid) -> Option<&Trip> {
        self.0.get(order_id)
    }

    /// Forgets all but these.
    pub fn keep(&mut self, order_ids: &HashSet<Uuid>) {
        self.0.retain(|order_id, _| order_ids.contains(order_id));
    }
}

/// A row with its places; `None` where they are not on earth.
pub fn trip(row: TripRow) -> Option<Trip> {
    let pickup = Point::new(row.pickup_latitude, row.pickup_longitude)?;
    let dropoff = Point::new(row.dropoff_latitude, row.dropoff_longitude)?;
    Some(Trip { row, pickup, dropoff })
}
