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
mod tests;
