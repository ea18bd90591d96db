//! The latest transitions of all orders: what WatchOrders streams are served and resumed from. Pure.
//!
//! In: events in the order in which they are read. Out: the same without repetitions, numbered. The oldest leave when there are too many,
//! when they are too large together, or when they are too old.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use metrics::counter;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    event::Event,
    token::{Offsets, Token},
};

/// What a ring may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most events.
    pub count: usize,
    /// Most bytes that they occupy together.
    pub bytes: usize,
    /// How long an event stays.
    pub age: Duration,
}

/// The latest transitions of one epoch of the topic's log.
#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    epoch: i64,
    /// Everything below was read.
    read: Offsets,
    /// Everything that was read from here on is in the ring.
    floor: Offsets,
    events: VecDeque<(Instant, Arc<Event>)>,
    /// Number of the oldest event. Numbers are never used again.
    first: u64,
    bytes: usize,
    /// Of each order that has events in the ring.
    known: HashMap<Uuid, Known>,
}

/// The highest versions of an order that are in the ring; 0 for none.
///
/// What the store told in the place of an unreadable record may be ahead of the topic, and by how much differs from replica to replica.
/// So it does not make repetitions of the records that follow: a reader that resumes there with a token of another replica, where the
/// store told less, sees those versions by their records only.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    by_record: i64,
    by_store: i64,
}

impl Known {
    fn has(&self, event: &Event) -> bool {
        let version = if event.from_store { self.by_record.max(self.by_store) } else { self.by_record };
        event.version <= version
    }

    fn highest(&mut self, event: &Event) -> &mut i64 {
        if event.from_store { &mut self.by_store } else { &mut self.by_record }
    }
}

impl Ring {
    /// An empty ring that reads a log from `start` on.
    pub fn new(limits: Limits, epoch: i64, start: Offsets) -> Self {
        Self {
            limits,
            epoch,
            read: start.clone(),
            floor: start,
            events: VecDeque::new(),
            first: 0,
            bytes: 0,
            known: HashMap::new(),
        }
    }

    /// Epoch of the log.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Everything below these offsets was read.
    pub fn read(&self) -> &Offsets {
        &self.read
    }

    /// The token of a reader that has seen everything below `offsets`.
    pub fn token(&self, filter_hash: &[u8], offsets: &Offsets) -> Bytes {
        Token::encode(self.epoch, filter_hash, offsets)
    }

    /// Adds an event, unless it repeats one; returns its number.
    pub fn push(&mut self, event: Arc<Event>, now: Instant) -> Option<u64> {
        if event.offset < self.read.at(event.partition) {
            // The log went back: it was lost. The reader of the epoch will notice; until then these records have no place in a token.
            counter!("comanda_watch_rewinds_total").increment(1);
            return None;
        }
        self.read.advance(event.partition, event.next_offset());
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

    /// Notes that a partition was read up to `next`.
    pub fn advance(&mut self, partition: i32, next: i64) {
        self.read.advance(partition, next);
    }

    /// Adds the partitions that the topic got; `start` tells where reading begins. The others stay as they are.
    pub fn add_partitions(&mut self, start: &Offsets) {
        let known = self.read.count();
        for offsets in [&mut self.read, &mut self.floor] {
            offsets.resize(start.count());
            start.iter().skip(known).for_each(|(partition, next)| offsets.advance(partition, next));
        }
    }

    /// Removes what is too much or too old.
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
        self.floor.advance(event.partition, event.offset + 1);
        let Some(known) = self.known.get_mut(&event.order_id) else { return };
        let highest = known.highest(&event);
        if *highest == event.version {
            *highest = 0;
        }
        if *known == Known::default() {
            self.known.remove(&event.order_id);
        }
    }

    /// Removes everything: from here on the ring begins again.
    pub fn clear(&mut self) {
        self.first = self.end();
        self.floor = self.read.clone();
        self.events.clear();
        self.known.clear();
        self.bytes = 0;
    }

    /// Number of the next event.
    pub fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Number of the oldest event.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The event of a number below the end; `None` once it has left.
    pub fn get(&self, number: u64) -> Option<&Arc<Event>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.events.get(index).map(|(_, event)| event)
    }

    /// The number from which on everything is that a reader at `offsets` has not seen; `None` if some of it has left.
    pub fn seek(&self, offsets: &Offsets) -> Option<u64> {
        if self.floor.exceeds(offsets) {
            return None;
        }
        let unseen = |(_, event): &(Instant, Arc<Event>)| event.offset >= offsets.at(event.partition);
        let index = self.events.iter().position(unseen).unwrap_or(self.events.len());
        Some(self.first + index as u64)
    }

    /// How many events there are, and the bytes that they occupy.
    pub fn size(&self) -> (usize, usize) {
        (self.events.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::events::OrderTransition;

    use super::*;

    const LIMITS: Limits = Limits { count: 3, bytes: 1_000_000, age: Duration::from_secs(600) };

    fn event(partition: i32, offset: i64, order: u128, version: i64) -> Arc<Event> {
        let order_id = Uuid::from_u128(order).to_string();
        let transition = OrderTransition { order_id, tenant: "default".into(), version, ..Default::default() };
        Arc::new(Event::of_transition(partition, offset, transition).expect("a transition"))
    }

    fn ring() -> Ring {
        Ring::new(LIMITS, 1, Offsets::new([0, 0]))
    }

    #[test]
    fn repetitions_are_left_out() {
        let (mut ring, now) = (ring(), Instant::now());
        assert_eq!(ring.push(event(0, 0, 1, 1), now), Some(0));
        assert_eq!(ring.push(event(0, 1, 1, 2), now), Some(1));
        assert_eq!(ring.push(event(0, 2, 1, 1), now), None);
        assert_eq!(ring.push(event(0, 3, 1, 2), now), None);
        assert_eq!(ring.push(event(0, 4, 2, 1), now), Some(2));
        assert_eq!((ring.end(), ring.read()), (3, &Offsets::new([5, 0])));
    }

    #[test]
    fn records_of_a_log_that_went_back_are_left_out() {
        let (mut ring, now) = (ring(), Instant::now());
        assert_eq!(ring.push(event(0, 7, 1, 1), now), Some(0));
        assert_eq!(ring.push(event(0, 0, 1, 2), now), None);
        assert_eq!(ring.read(), &Offsets::new([8, 0]));
    }

    #[test]
    fn what_the_store_told_is_told_again_by_its_record() {
        let (mut ring, now) = (ring(), Instant::now());
        let from_store = |offset, order, version| {
            let mut event = Arc::unwrap_or_clone(event(0, offset, order, version));
            event.from_store = true;
            Arc::new(event)
        };
        assert!(ring.push(event(0, 0, 1, 1), now).is_some());
        assert!(ring.push(from_store(1, 1, 1), now).is_none(), "a record told it");
        assert!(ring.push(from_store(1, 1, 2), now).is_some());
        assert!(ring.push(from_store(1, 1, 2), now).is_none(), "the store told it before");
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
        assert_eq!(ring.seek(&Offsets::new([1, 0])), None, "offset 1 has left");
        assert_eq!(ring.seek(&Offsets::new([2, 0])), Some(2));
        assert_eq!(ring.seek(&Offsets::new([4, 0])), Some(4));
        assert_eq!(ring.seek(&Offsets::new([9, 9])), Some(5));
    }

    #[test]
    fn the_oldest_leave_by_size_and_by_age() {
        let now = Instant::now();
        let size_bytes = event(0, 0, 1, 1).size_bytes;
        let mut ring = Ring::new(Limits { bytes: 2 * size_bytes, ..LIMITS }, 1, Offsets::new([0]));
        for order in 0..4 {
            ring.push(event(0, order, 1 + order as u128, 1), now);
        }
        assert_eq!(ring.size(), (2, 2 * size_bytes));
        ring.evict(now + LIMITS.age);
        assert_eq!(ring.size().0, 2, "not older than allowed");
        ring.evict(now + LIMITS.age + Duration::from_millis(1));
        assert_eq!(ring.size(), (0, 0));
        assert_eq!(ring.seek(&Offsets::new([3])), None);
        assert_eq!(ring.seek(&Offsets::new([4])), Some(4));
    }

    #[test]
    fn a_version_whose_first_occurrence_has_left_counts_as_new() {
        let (mut ring, now) = (ring(), Instant::now());
        for order in 1..=4 {
            ring.push(event(0, order, order as u128, 1), now);
        }
        assert!(ring.push(event(0, 5, 1, 1), now).is_some());
        assert!(ring.push(event(0, 6, 4, 1), now).is_none());
    }

    #[test]
    fn what_lies_before_the_start_cannot_be_resumed() {
        let ring = Ring::new(LIMITS, 1, Offsets::new([10, 0]));
        assert_eq!(ring.seek(&Offsets::new([9, 0])), None);
        assert_eq!(ring.seek(&Offsets::new([10, 0])), Some(0));
    }

    #[test]
    fn a_cleared_ring_begins_where_it_was_read_to() {
        let (mut ring, now) = (ring(), Instant::now());
        ring.push(event(0, 0, 1, 1), now);
        ring.clear();
        assert_eq!((ring.size(), ring.end()), ((0, 0), 1));
        assert_eq!(ring.seek(&Offsets::new([0, 0])), None);
        assert_eq!(ring.seek(&Offsets::new([1, 0])), Some(1));
    }

    #[test]
    fn a_place_before_partitions_were_added_still_resumes() {
        let (mut ring, now) = (ring(), Instant::now());
        ring.push(event(0, 0, 1, 1), now);
        ring.add_partitions(&Offsets::new([1, 0, 0]));
        assert_eq!(ring.push(event(2, 0, 1, 2), now), Some(1));
        assert_eq!(ring.seek(&Offsets::new([1, 0])), Some(1));
        assert_eq!(ring.seek(&Offsets::new([0, 0])), Some(0));
        assert_eq!(ring.read(), &Offsets::new([1, 0, 1]));
    }
}
