//! Where couriers are, and since when that is known.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use time::OffsetDateTime;

use crate::place::{CourierKey, Point};

/// Where a courier was last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Where.
    pub point: Point,
    /// When.
    pub time: OffsetDateTime,
}

/// The last place of each courier.
#[derive(Debug, Default)]
pub struct Grid {
    couriers: RwLock<HashMap<CourierKey, Seen>>,
}

impl Grid {
    /// Notes where a courier was, unless something newer is known.
    pub fn note(&self, courier: CourierKey, seen: Seen) {
        let mut couriers = self.couriers.write().unwrap_or_else(PoisonError::into_inner);
        let last = couriers.entry(courier).or_insert(seen);
        if last.time < seen.time {
            *last = seen;
        }
    }

    /// Where a courier was last.
    pub fn last_seen(&self, courier: &CourierKey) -> Option<Seen> {
        self.couriers.read().unwrap_or_else(PoisonError::into_inner).get(courier).copied()
    }

    /// The eligible couriers of a tenant that are nearest to a place, nearest first, at most `count`. `eligible` is asked with the last place
    /// of each, so that it can refuse a courier that was not heard from.
    pub fn nearest(
        &self,
        tenant: &str,
        from: Point,
        count: usize,
        eligible: impl Fn(&CourierKey, &Seen) -> bool,
    ) -> Vec<(CourierKey, Seen)> {
        let couriers = self.couriers.read().unwrap_or_else(PoisonError::into_inner);
        let found = couriers.iter().filter(|(key, seen)| *key.tenant == *tenant && eligible(key, seen));
        let mut found: Vec<_> = found.map(|(key, seen)| (seen.point.metres_to(from), key, seen)).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
        found.into_iter().take(count).map(|(_, key, seen)| (key.clone(), *seen)).collect()
    }
}
