//! Where couriers are, and when they were heard from.
//!
//! Every replica reads all positions into a grid of its own, so that a new leader knows them at once. Memory is bounded by a number of couriers;
//! who was not heard from for a day is forgotten.

mod couriers;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use metrics::{counter, gauge};
use time::OffsetDateTime;

use self::couriers::Couriers;
use crate::place::{CourierKey, Point};

/// A courier that was not heard from for so long gets nothing new.
pub const SILENCE: Duration = Duration::from_secs(120);
/// For how long a last position is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many couriers a grid holds, of all tenants together: about 100 MB.
const MOST_COURIERS: usize = 200_000;

/// Where a courier was last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Where.
    pub point: Point,
    /// When, by the clock of its device.
    pub time: OffsetDateTime,
    /// When we heard that, by the clock of the server that took it.
    pub heard: OffsetDateTime,
}

/// The last place of each courier.
#[derive(Debug)]
pub struct Grid {
    state: RwLock<State>,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    tenants: HashMap<Arc<str>, Couriers>,
    count: usize,
    /// Whatever was published before this time is here; `None` where nothing could be read yet.
    read_until: Option<OffsetDateTime>,
}

impl Default for Grid {
    fn default() -> Self {
        Self { state: RwLock::default(), most: MOST_COURIERS }
    }
}

impl Grid {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where a courier was, unless something newer is known.
    pub fn note(&self, courier: CourierKey, seen: Seen) {
        self.put(courier, seen, false);
    }

    /// The same, of a position that the database has.
    pub fn restore(&self, courier: CourierKey, seen: Seen) {
        self.put(courier, seen, true);
    }

    fn put(&self, courier: CourierKey, seen: Seen, is_stored: bool) {
        let mut state = self.write();
        if state.count >= self.most && !state.knows(&courier) {
            counter!("comanda_dispatch_grid_full_total").increment(1);
            return;
        }
        let couriers = state.tenants.entry(courier.tenant.clone()).or_default();
        state.count += usize::from(couriers.put(courier, seen, is_stored));
    }

    /// Where a courier was last.
    pub fn last_seen(&self, courier: &CourierKey) -> Option<Seen> {
        self.read().tenants.get(&courier.tenant)?.seen(courier)
    }

    /// The eligible couriers of a tenant that are nearest to a place, nearest first, at most `count`. `eligible` is asked with the last place
    /// of each, so that it can refuse a courier that was not heard from. It must not ask the grid itself, which is locked meanwhile.
    pub fn nearest(
        &self,
        tenant: &str,
        from: Point,
        count: usize,
        eligible: impl Fn(&CourierKey, &Seen) -> bool,
    ) -> Vec<(CourierKey, Seen)> {
        self.read().tenants.get(tenant).map_or_else(Vec::new, |couriers| couriers.nearest(from, count, eligible))
    }

    /// Couriers that were last heard from before this time are silent. While the topic cannot be read this does not move on: then nobody is
    /// known to be silent, and the last positions are the best there are.
    pub fn silent_before(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.read().read_until.map(|read_until| read_until.min(now) - SILENCE)
    }

    /// Whether a courier that was seen like this is silent now.
    pub fn is_silent(&self, seen: &Seen, now: OffsetDateTime) -> bool {
        self.silent_before(now).is_some_and(|before| seen.heard < before)
    }

    /// Notes that everything published before this time was read.
    pub fn note_read(&self, until: OffsetDateTime) {
        let mut state = self.write();
        state.read_until = state.read_until.max(Some(until));
    }

    /// Forgets who was not heard from for [`KEPT`].
    pub fn forget_old(&self, now: OffsetDateTime) {
        let mut state = self.write();
        state.tenants.retain(|_, couriers| {
            couriers.forget_before(now - KEPT);
            couriers.count() > 0
        });
        state.count = state.tenants.values().map(Couriers::count).sum();
        gauge!("comanda_dispatch_grid_couriers").set(state.count as f64);
    }

    /// The positions that the database does not have yet, by courier.
    pub fn unstored(&self) -> Vec<(CourierKey, Seen)> {
        let mut unstored: Vec<_> = self.read().tenants.values().flat_map(Couriers::unstored).collect();
        unstored.sort_by(|(one, _), (other, _)| one.cmp(other));
        unstored
    }

    /// Notes that the database has these positions.
    pub fn note_stored(&self, stored: &[(CourierKey, Seen)]) {
        let mut state = self.write();
        for (courier, seen) in stored {
            if let Some(couriers) = state.tenants.get_mut(&courier.tenant) {
                couriers.note_stored(courier, seen);
            }
        }
    }
}

impl State {
    fn knows(&self, courier: &CourierKey) -> bool {
        self.tenants.get(&courier.tenant).is_some_and(|couriers| couriers.seen(courier).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);

    fn seen(seconds: i64) -> Seen {
        let time = NOON + time::Duration::seconds(seconds);
        Seen { point: Point::new(40.0, -3.7).expect("valid"), time, heard: time }
    }

    fn courier(id: &str) -> CourierKey {
        CourierKey::new("acme", id)
    }

    #[test]
    fn tenants_are_apart_and_only_newer_positions_count() {
        let grid = Grid::default();
        grid.note(courier("1"), seen(10));
        grid.note(courier("1"), seen(9));
        grid.note(CourierKey::new("other", "1"), seen(5));
        assert_eq!(grid.last_seen(&courier("1")), Some(seen(10)));
        assert_eq!(grid.nearest("acme", seen(0).point, 9, |_, _| true), [(courier("1"), seen(10))]);
        assert!(grid.nearest("nobody", seen(0).point, 9, |_, _| true).is_empty());
    }

    #[test]
    fn a_full_grid_takes_nobody_new_until_somebody_is_forgotten() {
        let grid = Grid { most: 2, ..Grid::default() };
        for id in ["1", "2", "3"] {
            grid.note(courier(id), seen(0));
        }
        grid.note(courier("2"), seen(1));
        assert_eq!((grid.last_seen(&courier("3")), grid.last_seen(&courier("2"))), (None, Some(seen(1))));
        grid.forget_old(NOON + KEPT + Duration::from_millis(500));
        assert_eq!((grid.last_seen(&courier("1")), grid.last_seen(&courier("2"))), (None, Some(seen(1))));
        grid.note(courier("3"), seen(2));
        assert_eq!(grid.last_seen(&courier("3")), Some(seen(2)));
    }

    #[test]
    fn nobody_is_silent_while_the_topic_cannot_be_read() {
        let (grid, later) = (Grid::default(), NOON + Duration::from_secs(3600));
        assert!(!grid.is_silent(&seen(0), later), "nothing was read yet");
        grid.note_read(NOON + Duration::from_secs(60));
        assert!(!grid.is_silent(&seen(0), later), "the topic was read last a minute after");
        grid.note_read(later);
        assert!(grid.is_silent(&seen(0), later));
        assert!(!grid.is_silent(&seen(3480), later) && grid.is_silent(&seen(3479), later));
    }

    #[test]
    fn what_moved_is_stored_once() {
        let grid = Grid::default();
        grid.restore(courier("1"), seen(0));
        grid.restore(courier("2"), seen(0));
        grid.note(courier("2"), seen(1));
        grid.note(courier("3"), seen(1));
        let unstored = grid.unstored();
        assert_eq!(unstored, [(courier("2"), seen(1)), (courier("3"), seen(1))]);
        grid.note(courier("3"), seen(2));
        grid.note_stored(&unstored);
        assert_eq!(grid.unstored(), [(courier("3"), seen(2))], "it moved while it was stored");
    }
}
