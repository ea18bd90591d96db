//! The latest transitions of all orders, each once: what a watch of many orders is served and resumed from. Pure.
//!
//! In: events in the order of arrival. Out: the same without repetitions, numbered. The oldest leave when there are too many, when
//! they are too large together, or when they are too old. The floor tells, per partition, from where on everything is here.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{event::Event, token::Positions};

/// What a ring may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most events.
    pub count: usize,
    /// What they may occupy together.
    pub bytes: usize,
    /// How long an event stays.
    pub age: Duration,
}

/// The latest transitions.
#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    events: VecDeque<(Instant, Arc<Event>)>,
    /// Number of the oldest event; they are numbered through for ever.
    first: u64,
    bytes: usize,
    /// Of each order that is here.
    known: HashMap<Uuid, Known>,
    floor: Positions,
}

/// The highest versions of an order, 0 for none.
///
/// What the store told in the place of a record that nobody can read may be ahead of the topic, and how far depends on when it was asked.
/// So it does not make the records repetitions that follow: whoever resumes behind that place with a token of another replica,
/// where the store told less, sees them by their records only.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    by_record: i64,
    by_store: i64,
}

impl Known {
    fn has(&self, event: &Event) -> bool {
        let version = if event.place.is_of_record() { self.by_record } else { self.by_record.max(self.by_store) };
        event.version <= version
    }

    fn highest(&mut self, event: &Event) -> &mut i64 {
        if event.place.is_of_record() { &mut self.by_record } else { &mut self.by_store }
    }
}

impl Ring {
    /// An empty ring that is about to be fed from `start` on.
    pub fn new(limits: Limits, start: Positions) -> Self {
        Self { limits, events: VecDeque::new(), first: 0, bytes: 0, known: HashMap::new(), floor: start }
    }

    /// Takes in an event, unless it repeats one; tells its number.
    pub fn push(&mut self, event: Arc<Event>, now: Instant) -> Option<u64> {
        let known = self.known.entry(event.order_id).or_default();
        if known.has(&event) {
            return None;
        }
        *known.highest(&event) = event.version;
        self.bytes += event.size_bytes;
        self.events.push_back((now, event));
        self.evict(now);
        Some(self.end() - 1)
    }

    /// Lets go of what is too much or too old.
    pub fn evict(&mut self, now: Instant) {
        while self.is_over(now) {
            self.drop_oldest();
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        let too_much = self.events.len() > self.limits.count || self.bytes > self.limits.bytes;
        self.events.front().is_some_and(|(since, _)| too_much || now.duration_since(*since) > self.limits.age)
    }

    fn drop_oldest(&mut self) {
        let Some((_, event)) = self.events.pop_front() else { return };
        self.first += 1;
        self.bytes -= event.size_bytes;
        self.floor.pass(event.place.partition, event.place.offset + 1);
        let Some(known) = self.known.get_mut(&event.order_id) else { return };
        let highest = known.highest(&event);
        if *highest == event.version {
            *highest = 0;
        }
        if *known == Known::default() {
            self.known.remove(&event.order_id);
        }
    }

    /// Number of the next event.
    pub fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The event of a number below the end; `None` once it is gone.
    pub fn get(&self, number: u64) -> Option<&Arc<Event>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.events.get(index).map(|(_, event)| event)
    }

    /// The number from which on lies everything that `positions` have not seen; `None` if some of that is gone.
    pub fn seek(&self, positions: &Positions) -> Option<u64> {
        if self.floor.exceeds(positions) {
            return None;
        }
        let unseen = |(_, event): &(Instant, Arc<Event>)| event.place.offset >= positions.at(event.place.partition);
        let index = self.events.iter().position(unseen).unwrap_or(self.events.len());
        Some(self.first + index as u64)
    }

    /// How many events there are, and what they occupy.
    pub fn size(&self) -> (usize, usize) {
        (self.events.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::OrderTransition;

    use super::*;
    use crate::watch::event::Place;

    const LIMITS: Limits = Limits { count: 3, bytes: 1_000_000, age: Duration::from_secs(600) };

    fn event(partition: i32, offset: i64, order: u128, version: i64) -> Arc<Event> {
        let order_id = Uuid::from_u128(order).to_string();
        let transition = OrderTransition { order_id, version, ..Default::default() };
        Arc::new(Event::of_transition(Place::of_record(partition, offset), transition).expect("a transition"))
    }

    fn ring() -> Ring {
        Ring::new(LIMITS, Positions::new([0, 0]))
    }

    #[test]
    fn repetitions_are_left_out() {
        let (mut ring, now) = (ring(), Instant::now());
        assert_eq!(ring.push(event(0, 0, 1, 1), now), Some(0));
        assert_eq!(ring.push(event(0, 1, 1, 2), now), Some(1));
        assert_eq!(ring.push(event(0, 2, 1, 1), now), None);
        assert_eq!(ring.push(event(0, 3, 1, 2), now), None);
        assert_eq!(ring.push(event(0, 4, 2, 1), now), Some(2));
        assert_eq!(ring.end(), 3);
    }

    #[test]
    fn what_the_store_told_early_is_told_again_by_its_record() {
        let (mut ring, now) = (ring(), Instant::now());
        let told = |order, version| {
            let mut event = Arc::unwrap_or_clone(event(0, 1, order, version));
            event.place.next = event.place.offset;
            Arc::new(event)
        };
        assert!(ring.push(event(0, 0, 1, 1), now).is_some());
        assert!(ring.push(told(1, 1), now).is_none(), "a record told it");
        assert!(ring.push(told(1, 2), now).is_some());
        assert!(ring.push(told(1, 2), now).is_none(), "the store told it before");
        assert!(ring.push(event(0, 2, 1, 2), now).is_some());
        assert!(ring.push(event(0, 3, 1, 2), now).is_none());
    }

    #[test]
    fn the_oldest_leave_by_count_and_the_floor_rises() {
        let (mut ring, now) = (ring(), Instant::now());
        for offset in 0..5 {
            ring.push(event(0, offset, 1, offset + 1), now);
        }
        assert_eq!((ring.size().0, ring.end()), (3, 5));
        assert!(ring.get(1).is_none());
        assert_eq!(ring.get(2).map(|event| event.version), Some(3));
        assert_eq!(ring.seek(&Positions::new([1, 0])), None, "offset 1 is gone");
        assert_eq!(ring.seek(&Positions::new([2, 0])), Some(2));
        assert_eq!(ring.seek(&Positions::new([4, 0])), Some(4));
        assert_eq!(ring.seek(&Positions::new([9, 9])), Some(5));
    }

    #[test]
    fn the_oldest_leave_by_size_and_by_age() {
        let now = Instant::now();
        let size_bytes = event(0, 0, 1, 1).size_bytes;
        let mut ring = Ring::new(Limits { bytes: 2 * size_bytes, ..LIMITS }, Positions::new([0]));
        for order in 0..4 {
            ring.push(event(0, order, 1 + order as u128, 1), now);
        }
        assert_eq!(ring.size(), (2, 2 * size_bytes));
        ring.evict(now + LIMITS.age);
        assert_eq!(ring.size().0, 2, "not older than allowed");
        ring.evict(now + LIMITS.age + Duration::from_millis(1));
        assert_eq!(ring.size(), (0, 0));
        assert_eq!(ring.seek(&Positions::new([3])), None);
        assert_eq!(ring.seek(&Positions::new([4])), Some(4));
    }

    #[test]
    fn a_version_whose_first_occurrence_is_gone_counts_as_new() {
        let (mut ring, now) = (ring(), Instant::now());
        for order in 1..=4 {
            ring.push(event(0, order, order as u128, 1), now);
        }
        assert!(ring.push(event(0, 5, 1, 1), now).is_some());
        assert!(ring.push(event(0, 6, 4, 1), now).is_none());
    }

    #[test]
    fn what_lies_before_the_start_can_not_be_resumed() {
        let ring = Ring::new(LIMITS, Positions::new([10, 0]));
        assert_eq!(ring.seek(&Positions::new([9, 0])), None);
        assert_eq!(ring.seek(&Positions::new([10, 0])), Some(0));
    }
}
