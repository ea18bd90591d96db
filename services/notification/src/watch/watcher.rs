//! What one open WatchOrder stream has not taken yet: a small buffer that the hub fills and the stream empties.
//!
//! A full buffer is dropped as a whole and the stream told so: it reads the store instead. Nothing waits for a slow reader, and
//! nothing is lost.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use metrics::counter;
use tokio::{sync::Notify, time::Instant};

use super::event::Event;

/// How many transitions of its order a stream may have outstanding.
const MOST: usize = 128;
/// A buffer that has grown beyond this is given back once it is empty: most streams are idle most of the time.
const KEPT: usize = 4;

/// The hub's end and the stream's end of one watch.
#[derive(Debug, Default)]
pub struct Watcher {
    buffer: Mutex<Buffer>,
    /// Told when there may be something to take.
    pub news: Notify,
}

#[derive(Debug, Default)]
struct Buffer {
    events: VecDeque<Arc<Event>>,
    behind: bool,
    /// When the oldest thing that can be taken came.
    since: Option<Instant>,
    /// The version that the stream rests at, having taken everything.
    rests_at: Option<i64>,
}

/// What a stream gets.
#[derive(Debug)]
pub enum Taken {
    /// A transition, and since when there is something to take.
    Event(Arc<Event>, Instant),
    /// Transitions may be missing: read the store. Likewise.
    Behind(Instant),
    /// Nothing yet.
    Nothing,
}

impl Watcher {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().expect("nothing panics while it holds this lock")
    }

    /// Adds a transition. One too many drops them all.
    pub fn push(&self, event: &Arc<Event>, now: Instant) {
        let mut buffer = self.buffer();
        if buffer.behind {
            return;
        }
        if buffer.events.len() < MOST {
            buffer.events.push_back(event.clone());
            buffer.tell(now);
        } else {
            counter!("comanda_watch_overflows_total").increment(1);
            buffer.fall_behind(now);
        }
        drop(buffer);
        self.news.notify_one();
    }

    /// Makes the stream read the store.
    pub fn fall_behind(&self, now: Instant) {
        self.buffer().fall_behind(now);
        self.news.notify_one();
    }

    /// The same, if the stream rests at a version below `version`. Tells whether it does.
    pub fn fall_behind_below(&self, version: i64, now: Instant) -> bool {
        let rests_below = self.buffer().rests_at.is_some_and(|at| at < version);
        if rests_below {
            self.fall_behind(now);
        }
        rests_below
    }

    /// Lets go of what a stalled reader does not take.
    pub fn release(&self, stall: Duration, now: Instant) {
        let mut buffer = self.buffer();
        if buffer.since.is_some_and(|since| now.duration_since(since) > stall) {
            buffer.fall_behind(now);
        }
    }

    /// Takes the next thing for a stream that has sent everything up to `sent`. After `Behind` the buffer collects anew, so what
    /// is published while the store is read is not lost.
    pub fn take(&self, sent: i64) -> Taken {
        let mut buffer = self.buffer();
        let Some(since) = buffer.since else {
            buffer.rests_at = Some(sent);
            return Taken::Nothing;
        };
        let event = buffer.events.pop_front();
        if buffer.events.is_empty() {
            buffer.behind = false;
            buffer.since = None;
            buffer.events.shrink_to(KEPT);
        }
        event.map_or(Taken::Behind(since), |event| Taken::Event(event, since))
    }

    /// The version that the stream rests at, if it does.
    pub fn rests_at(&self) -> Option<i64> {
        self.buffer().rests_at
    }
}

impl Buffer {
    fn tell(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.rests_at = None;
    }

    fn fall_behind(&mut self, now: Instant) {
        self.events = VecDeque::new();
        self.behind = true;
        self.tell(now);
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::OrderTransition;
    use uuid::Uuid;

    use super::*;
    use crate::watch::event::Place;

    fn event(version: i64) -> Arc<Event> {
        let transition = OrderTransition { order_id: Uuid::nil().to_string(), version, ..Default::default() };
        Arc::new(Event::of_transition(Place::of_record(0, version), transition).expect("a transition"))
    }

    fn versions(watcher: &Watcher) -> Vec<i64> {
        std::iter::from_fn(|| match watcher.take(0) {
            Taken::Event(event, _) => Some(event.version),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn transitions_come_out_as_they_went_in() {
        let (watcher, now) = (Watcher::default(), Instant::now());
        (1..=MOST as i64).for_each(|version| watcher.push(&event(version), now));
        assert_eq!(versions(&watcher), (1..=MOST as i64).collect::<Vec<_>>());
    }

    #[test]
    fn one_too_many_sends_the_stream_to_the_store_and_the_buffer_collects_anew() {
        let (watcher, now) = (Watcher::default(), Instant::now());
        (1..=MOST as i64 + 5).for_each(|version| watcher.push(&event(version), now));
        assert!(matches!(watcher.take(0), Taken::Behind(_)));
        watcher.push(&event(500), now);
        assert_eq!(versions(&watcher), [500]);
    }

    #[test]
    fn only_a_stream_that_rests_below_a_version_is_repaired() {
        let (watcher, now) = (Watcher::default(), Instant::now());
        assert!(!watcher.fall_behind_below(9, now), "it has not caught up yet");
        assert!(matches!(watcher.take(3), Taken::Nothing));
        assert_eq!(watcher.rests_at(), Some(3));
        assert!(!watcher.fall_behind_below(3, now));
        assert!(watcher.fall_behind_below(4, now));
        assert_eq!(watcher.rests_at(), None);
        assert!(matches!(watcher.take(3), Taken::Behind(_)));
    }

    #[test]
    fn what_nobody_takes_is_released() {
        let (watcher, now, stall) = (Watcher::default(), Instant::now(), Duration::from_secs(30));
        watcher.push(&event(1), now);
        watcher.release(stall, now + stall);
        assert_eq!(watcher.buffer().events.len(), 1);
        watcher.release(stall, now + stall * 2);
        assert_eq!(watcher.buffer().events.len(), 0);
        assert!(matches!(watcher.take(0), Taken::Behind(since) if since == now));
    }
}
