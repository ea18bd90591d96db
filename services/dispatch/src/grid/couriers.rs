//! The couriers of one tenant, by place.
//!
//! Places are kept in the hexagons of H3 (<https://h3geo.org>) at resolution 8. They have 0.74 km² on average, and their centres are about
//! 0.9 km apart. Ten thousand couriers of a large city are then some dozens a cell, and a dozen couriers of a small town are found within a
//! few rings. A finer resolution needs more rings where couriers are few, a coarser one compares more couriers where they are many.

use std::collections::{BinaryHeap, HashMap};

use h3o::{CellIndex, LatLng, Resolution};
use time::OffsetDateTime;

use super::Seen;
use crate::place::{CourierKey, Point};

/// How many rings are looked through before all couriers are: about 23 km.
const RINGS: u32 = 25;
/// A courier outside of `k` rings around a cell is at least `k` times so far from every place in that cell, in metres. To cross a ring takes at
/// least the side of a hexagon. At this resolution it has 530 m on average, and nowhere on earth less than this.
const RING_METRES: f64 = 300.0;
/// So few are compared without the cells.
const FEW: usize = 64;

/// Couriers and the cells that they are in.
#[derive(Debug, Default)]
pub struct Couriers {
    entries: HashMap<CourierKey, Entry>,
    cells: HashMap<CellIndex, Vec<CourierKey>>,
}

#[derive(Debug)]
struct Entry {
    seen: Seen,
    cell: CellIndex,
    is_stored: bool,
}

impl Couriers {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Where a courier was last.
    pub fn seen(&self, courier: &CourierKey) -> Option<Seen> {
        self.entries.get(courier).map(|entry| entry.seen)
    }

    /// Notes where a courier was, unless something newer is known. Whether the courier is new.
    pub fn put(&mut self, courier: CourierKey, seen: Seen, is_stored: bool) -> bool {
        let Some(cell) = cell_of(seen.point) else { return false };
        let before = match self.entries.get_mut(&courier) {
            Some(entry) if entry.seen.time >= seen.time => return false,
            Some(entry) => {
                (entry.seen, entry.is_stored) = (seen, is_stored);
                Some(std::mem::replace(&mut entry.cell, cell))
            }
            None => {
                self.entries.insert(courier.clone(), Entry { seen, cell, is_stored });
                None
            }
        };
        if before != Some(cell) {
            before.inspect(|before| self.leave(&courier, *before));
            self.cells.entry(cell).or_default().push(courier);
        }
        before.is_none()
    }

    fn leave(&mut self, courier: &CourierKey, cell: CellIndex) {
        let Some(couriers) = self.cells.get_mut(&cell) else { return };
        couriers.retain(|other| other != courier);
        if couriers.is_empty() {
            self.cells.remove(&cell);
        }
    }

    /// Forgets who was heard from only before this time.
    pub fn forget_before(&mut self, time: OffsetDateTime) {
        let old = self.entries.iter().filter(|(_, entry)| entry.seen.heard < time);
        let old: Vec<_> = old.map(|(courier, entry)| (courier.clone(), entry.cell)).collect();
        for (courier, cell) in old {
            self.entries.remove(&courier);
            self.leave(&courier, cell);
        }
    }

    /// The positions that the database does not have.
    pub fn unstored(&self) -> impl Iterator<Item = (CourierKey, Seen)> {
        let unstored = self.entries.iter().filter(|(_, entry)| !entry.is_stored);
        unstored.map(|(courier, entry)| (courier.clone(), entry.seen))
    }

    /// Notes that the database has this position.
    pub fn note_stored(&mut self, courier: &CourierKey, seen: &Seen) {
        if let Some(entry) = self.entries.get_mut(courier).filter(|entry| entry.seen == *seen) {
            entry.is_stored = true;
        }
    }

    /// The eligible ones that are nearest to a place, nearest first, at most `count`; of two as far the one with the lower key.
    pub fn nearest(
        &self,
        from: Point,
        count: usize,
        eligible: impl Fn(&CourierKey, &Seen) -> bool,
    ) -> Vec<(CourierKey, Seen)> {
        let by_rings = if self.count() <= FEW { None } else { self.nearest_by_rings(from, count, &eligible) };
        let nearest = by_rings.unwrap_or_else(|| {
            let mut nearest = Nearest::new(from, count);
            self.entries.iter().for_each(|(courier, entry)| nearest.offer(courier, entry.seen, &eligible));
            nearest
        });
        nearest.into_sorted()
    }

    /// The same, ring by ring outward; `None` where the rings do not tell: near a pentagon of the grid, or where too few are that near.
    fn nearest_by_rings<'c>(
        &'c self,
        from: Point,
        count: usize,
        eligible: &impl Fn(&CourierKey, &Seen) -> bool,
    ) -> Option<Nearest<'c>> {
        let (origin, mut nearest) = (cell_of(from)?, Nearest::new(from, count));
        let mut looked_at = 0;
        for ring in 0..=RINGS {
            for cell in origin.grid_ring_fast(ring) {
                let couriers = self.cells.get(&cell?).into_iter().flatten();
                for courier in couriers {
                    looked_at += 1;
                    nearest.offer(courier, self.entries.get(courier)?.seen, eligible);
                }
            }
            if looked_at == self.count() || nearest.is_complete_within(RING_METRES * f64::from(ring)) {
                return Some(nearest);
            }
        }
        None
    }
}

fn cell_of(point: Point) -> Option<CellIndex> {
    Some(LatLng::try_from(point).ok()?.to_cell(Resolution::Eight))
}

/// The nearest couriers found so far.
struct Nearest<'c> {
    from: Point,
    count: usize,
    /// The farthest is on top.
    found: BinaryHeap<Near<'c>>,
}

struct Near<'c> {
    metres: f64,
    courier: &'c CourierKey,
    seen: Seen,
}

impl<'c> Nearest<'c> {
    fn new(from: Point, count: usize) -> Self {
        Self { from, count, found: BinaryHeap::with_capacity(count.min(1024) + 1) }
    }

    fn offer(&mut self, courier: &'c CourierKey, seen: Seen, eligible: &impl Fn(&CourierKey, &Seen) -> bool) {
        if eligible(courier, &seen) {
            let metres = self.from.metres_to(seen.point);
            self.found.push(Near { metres, courier, seen });
            if self.found.len() > self.count {
                self.found.pop();
            }
        }
    }

    /// Whether nobody farther than this can be among the nearest.
    fn is_complete_within(&self, metres: f64) -> bool {
        self.found.len() >= self.count && self.found.peek().is_none_or(|farthest| farthest.metres < metres)
    }

    fn into_sorted(self) -> Vec<(CourierKey, Seen)> {
        self.found.into_sorted_vec().into_iter().map(|near| (near.courier.clone(), near.seen)).collect()
    }
}

impl Ord for Near<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.metres.total_cmp(&other.metres).then_with(|| self.courier.cmp(other.courier))
    }
}

impl PartialOrd for Near<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Near<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Near<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);

    fn place(latitude: f64, longitude: f64) -> Point {
        let longitude = (longitude + 540.0).rem_euclid(360.0) - 180.0;
        Point::new(latitude.clamp(-90.0, 90.0), longitude).expect("valid")
    }

    fn seen(point: Point, seconds: i64) -> Seen {
        let time = NOON + time::Duration::seconds(seconds);
        Seen { point, time, heard: time }
    }

    fn key(number: usize) -> CourierKey {
        CourierKey::new("acme", &format!("{number:05}"))
    }

    /// By the last digit of the key, so that some near ones are not.
    fn eligible(courier: &CourierKey, _: &Seen) -> bool {
        !courier.courier_id.ends_with('3')
    }

    fn brute_force(couriers: &Couriers, from: Point, count: usize) -> Vec<(CourierKey, Seen)> {
        let all = couriers.entries.iter().filter(|(courier, entry)| eligible(courier, &entry.seen));
        let mut all: Vec<_> = all.map(|(courier, entry)| (courier.clone(), entry.seen)).collect();
        all.sort_by(|one, other| {
            let metres = |seen: &Seen| from.metres_to(seen.point);
            metres(&one.1).total_cmp(&metres(&other.1)).then_with(|| one.0.cmp(&other.0))
        });
        all.truncate(count);
        all
    }

    /// Cities all over the earth: far north, over the date line, on a pentagon, on the equator.
    fn city() -> impl Strategy<Value = (f64, f64)> {
        prop_oneof![
            Just((40.4, -3.7)),
            Just((69.6, 18.9)),
            Just((-17.8, 179.99)),
            Just((64.7, 10.5)),
            Just((0.0, 32.5)),
            (-85.0..85.0_f64, -180.0..180.0_f64),
        ]
    }

    proptest! {
        #[test]
        fn the_nearest_are_those_that_comparing_all_finds(
            (latitude, longitude) in city(),
            spread in prop_oneof![Just(0.01), Just(0.05), Just(0.3), Just(2.0)],
            offsets in prop::collection::vec((-1.0..1.0_f64, -1.0..1.0_f64), 0..300),
            moves in prop::collection::vec((0_usize..300, -1.0..1.0_f64, -1.0..1.0_f64), 0..50),
            from in (-1.2..1.2_f64, -1.2..1.2_f64),
            count in 0_usize..12,
        ) {
            let at = |(north, east): (f64, f64)| place(latitude + north * spread, longitude + east * spread);
            let mut couriers = Couriers::default();
            for (number, offset) in offsets.iter().enumerate() {
                prop_assert!(couriers.put(key(number), seen(at(*offset), 0), false));
            }
            for (number, north, east) in moves {
                couriers.put(key(number), seen(at((north, east)), 1), false);
            }
            let from = at(from);
            prop_assert_eq!(couriers.nearest(from, count, eligible), brute_force(&couriers, from, count));
            let in_cells: usize = couriers.cells.values().map(Vec::len).sum();
            prop_assert_eq!(in_cells, couriers.count());
        }
    }

    #[test]
    fn no_side_of_a_cell_is_shorter_than_what_the_rings_count_with() {
        for step in 0..20_000 {
            let (latitude, longitude) = (f64::from(step % 179) - 89.0, f64::from(step) * 0.618 % 360.0);
            let cell = cell_of(place(latitude, longitude)).expect("valid");
            let shortest = cell.edges().map(|edge| edge.length_m()).fold(f64::INFINITY, f64::min);
            assert!(cell.is_pentagon() || shortest >= RING_METRES, "{shortest} m");
        }
    }

    #[test]
    fn who_left_a_cell_or_is_forgotten_is_not_found_there() {
        let mut couriers = Couriers::default();
        let (here, there) = (place(40.4, -3.7), place(41.4, 2.2));
        couriers.put(key(1), seen(here, 0), false);
        couriers.put(key(1), seen(there, 9), false);
        assert_eq!(couriers.nearest(here, 1, eligible), [(key(1), seen(there, 9))]);
        assert_eq!(couriers.cells.len(), 1);
        couriers.forget_before(NOON + time::Duration::seconds(10));
        assert!(couriers.cells.is_empty() && couriers.nearest(there, 1, eligible).is_empty());
    }
}
