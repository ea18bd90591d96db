//! How far one watch of many orders has come in the ring.
//!
//! There is no buffer: a slow reader is further behind in the ring, and one that has dropped out of it is told so.

use std::sync::Arc;

use comanda_kit::planted;
use tokio::{sync::Notify, time::Instant};

use super::{
    event::Event,
    filter::Filter,
    hub::{Log, NotFollowed, Start},
    token::{Positions, Token},
};

/// How many transitions a stream takes at once.
const MOST: usize = 64;
/// How many it may pass over for that: the hub stands still meanwhile.
const MOST_LOOKED_AT: usize = 4096;

/// One watch of many orders. Everything below its cursor was taken, or is none of its business; its positions say the same of the
/// topic.
#[derive(Debug)]
pub struct Follower {
    filter: Filter,
    cursor: u64,
    positions: Positions,
    since: Option<Instant>,
    /// Told when there may be something to take.
    pub wake: Arc<Notify>,
}

/// What a stream gets.
#[derive(Debug)]
pub enum Taken {
    /// Transitions, each with the token behind it, and since when there is something to take.
    Events(Vec<(Arc<Event>, Vec<u8>)>, Instant),
    /// Nothing so far, and there is more to look at.
    More,
    /// Nothing yet.
    Nothing,
    /// What comes next is gone, or the whole log is.
    Expired,
}

impl Follower {
    /// A follower that begins at `start`.
    pub fn new(filter: Filter, log: &Log, start: Start) -> Result<Self, NotFollowed> {
        let (cursor, positions) = match start {
            Start::Now => (log.ring.end(), log.positions.clone()),
            Start::Token(token) if token.positions.exceeds(&log.positions) && fits(&token, log) => {
                return Err(NotFollowed::Beyond);
            }
            Start::Token(token) | Start::VerifiedToken(token) => {
                let cursor = Some(&token).filter(|token| fits(token, log)).and_then(|t| log.ring.seek(&t.positions));
                (cursor.ok_or(NotFollowed::Expired)?, token.positions)
            }
        };
        Ok(Self { filter, cursor, positions, since: None, wake: Arc::default() })
    }

    /// Sees an event that was just published. One that is none of its business is passed over at once, so that an idle watch
    /// does not drop out of the ring.
    pub fn see(&mut self, number: u64, event: &Event, now: Instant) {
        if self.concerns(event) {
            self.since.get_or_insert(now);
            self.wake.notify_one();
        } else if self.cursor == number {
            self.pass(event);
        }
    }

    /// Whether a watch is to show an event. One that resumed ahead of the hub has seen what lies below its positions.
    fn concerns(&self, event: &Event) -> bool {
        event.place.offset >= self.positions.at(event.place.partition) && self.filter.matches(event)
    }

    fn pass(&mut self, event: &Event) {
        self.cursor += 1;
        self.positions.pass(event.place.partition, event.place.next);
    }

    /// Takes what comes next.
    pub fn take(&mut self, log: &Log) -> Taken {
        let since = self.since.unwrap_or_else(Instant::now);
        let mut events = Vec::new();
        let stop = log.ring.end().min(self.cursor + MOST_LOOKED_AT as u64);
        while self.cursor < stop && events.len() < MOST {
            if planted!("slow-watcher-drops-oldest") {
                self.cursor = self.cursor.max(log.ring.end() - log.ring.size().0 as u64);
            }
            let Some(event) = log.ring.get(self.cursor) else { return Taken::Expired };
            let concerns = self.concerns(event);
            self.pass(event);
            if concerns {
                events.push((event.clone(), log.token(self.filter.hash(), &self.positions)));
            }
        }
        let more = self.cursor < log.ring.end();
        if !more {
            self.since = None;
            self.positions.raise(&log.positions);
        }
        match (events.is_empty(), more) {
            (false, _) => Taken::Events(events, since),
            (true, true) => Taken::More,
            (true, false) => Taken::Nothing,
        }
    }

    /// The token behind everything that was taken.
    pub fn token(&mut self, log: &Log) -> Vec<u8> {
        if self.cursor == log.ring.end() {
            self.positions.raise(&log.positions);
        }
        log.token(self.filter.hash(), &self.positions)
    }
}

fn fits(token: &Token, log: &Log) -> bool {
    token.epoch == log.epoch && token.positions.count() == log.positions.count()
}
