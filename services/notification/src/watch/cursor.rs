//! How far one WatchOrders stream has got in the ring. Pure.
//!
//! A stream has no buffer of its own: a slow reader is further behind in the ring. One that has fallen out of the ring is expired.

use std::sync::Arc;

use bytes::Bytes;
use comanda_kit::planted;
use tokio::sync::Notify;

use super::{
    event::Event,
    filter::Filter,
    ring::Ring,
    token::{Offsets, Token},
};

/// How many transitions a stream takes at once.
const MAX_TAKEN: usize = 64;
/// How many transitions it looks at for that: the hub is locked meanwhile.
const MAX_LOOKED_AT: u64 = 4096;

/// Where a stream starts.
#[derive(Clone, Debug)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// After a token.
    Token(Token),
    /// After a token that the broker's log reaches to, even if this replica has not read so far.
    VerifiedToken(Token),
}

/// Why a stream cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// The topic was not read to its end yet.
    NotReady,
    /// The token belongs to another log, or what follows it has left the ring.
    Expired,
    /// The token is beyond what was read: only the broker knows whether it is valid.
    Beyond,
}

/// What comes next has left the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

/// What a stream takes at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// Transitions, each with the token after it.
    pub events: Vec<(Arc<Event>, Bytes)>,
    /// Whether there is more to look at.
    pub more: bool,
}

/// A place in the ring. The stream has seen everything below `next`, and everything of the topic below `offsets`.
#[derive(Debug)]
pub struct Cursor {
    filter: Filter,
    next: u64,
    offsets: Offsets,
    /// Notified when there may be something to take.
    pub news: Arc<Notify>,
}

impl Cursor {
    /// A cursor at `start`.
    pub fn new(filter: Filter, ring: &Ring, start: Start) -> Result<Self, NotStarted> {
        let (next, offsets) = match start {
            Start::Now => (ring.end(), ring.read().clone()),
            Start::Token(token) if token.epoch == ring.epoch() && token.offsets.exceeds(ring.read()) => {
                return Err(NotStarted::Beyond);
            }
            Start::Token(token) | Start::VerifiedToken(token) => {
                let next = if token.epoch == ring.epoch() { ring.seek(&token.offsets) } else { None };
                (next.ok_or(NotStarted::Expired)?, token.offsets)
            }
        };
        Ok(Self { filter, next, offsets, news: Arc::default() })
    }

    /// Learns of an event that was just added to the ring. One that the stream does not show is passed at once, so that an idle stream does
    /// not fall out of the ring.
    pub fn see(&mut self, number: u64, event: &Event) {
        if self.shows(event) {
            self.news.notify_one();
        } else if self.next == number {
            self.pass(event);
        }
    }

    /// A stream that resumed beyond what this replica had read has seen everything below its offsets.
    fn shows(&self, event: &Event) -> bool {
        event.offset >= self.offsets.at(event.partition) && self.filter.matches(event)
    }

    fn pass(&mut self, event: &Event) {
        self.next += 1;
        self.offsets.advance(event.partition, event.next_offset());
    }

    /// Takes what comes next.
    pub fn take(&mut self, ring: &Ring) -> Result<Batch, Expired> {
        // A partition that was added meanwhile.
        self.offsets.resize(ring.read().count());
        let mut batch = Batch::default();
        let stop = ring.end().min(self.next.saturating_add(MAX_LOOKED_AT));
        while self.next < stop && batch.events.len() < MAX_TAKEN {
            if planted!("slow-watcher-drops-oldest") {
                self.next = self.next.max(ring.first());
            }
            let event = ring.get(self.next).ok_or(Expired)?;
            let shows = self.shows(event);
            self.pass(event);
            if shows {
                batch.events.push((event.clone(), ring.token(self.filter.hash(), &self.offsets)));
            }
        }
        batch.more = self.next < ring.end();
        Ok(batch)
    }

    /// The token after everything that was taken.
    pub fn token(&mut self, ring: &Ring) -> Bytes {
        if self.next == ring.end() {
            self.offsets.advance_to(ring.read());
        }
        ring.token(self.filter.hash(), &self.offsets)
    }
}
