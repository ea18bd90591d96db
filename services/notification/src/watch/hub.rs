//! Where every transition of the topic meets the streams that wait for it.
//!
//! In: events from the feed. Out: what each stream takes when it is ready. A watch of one order has a buffer of its own
//! ([`Watcher`]); watches of many orders ([`Follower`]) share the [`Ring`]. Publishing never waits for a stream.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use metrics::{counter, gauge};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{
    event::{Event, Place},
    filter::Filter,
    follower::{Follower, Taken},
    ring::{Limits, Ring},
    token::{FilterHash, Positions, Token},
    watcher::Watcher,
};

/// The streams of this process and what they are fed from.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    ready: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watchers: HashMap<Uuid, Vec<Arc<Watcher>>>,
    followers: HashMap<u64, Follower>,
    next_follower: u64,
    log: Option<Log>,
}

/// What is known of the topic's log in its present epoch.
#[derive(Debug)]
pub struct Log {
    /// Epoch of the log.
    pub epoch: i64,
    /// How far it was read.
    pub positions: Positions,
    /// The latest of it.
    pub ring: Ring,
    /// Whether it was read up to the end that it had when reading began.
    open: bool,
}

impl Log {
    /// The token of a reader at some place in this log.
    pub fn token(&self, filter: FilterHash, positions: &Positions) -> Vec<u8> {
        Token::encode(self.epoch, filter, positions)
    }
}

/// Where a watch of many orders begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// Behind a token.
    Token(Token),
    /// Behind a token that may lie beyond what the hub has read: the broker has it.
    VerifiedToken(Token),
}

/// Why a watch of many orders can not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// The feed has not caught up with the topic.
    NotReady,
    /// The token is of another log, or what lies behind it is gone.
    Expired,
    /// The token lies beyond what the hub has read: ask the broker.
    Beyond,
}

impl Hub {
    /// A hub without a log.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, ready: watch::Sender::new(false), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// True while the feed has caught up with the topic's log.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    // --- the feed's side ---

    /// Drops everything known of the log, which is no more: the watches of many orders end.
    pub fn close(&self) {
        self.ready.send_replace(false);
        let mut state = self.state();
        state.log = None;
        state.end_followers();
    }

    /// Begins a log.
    pub fn begin(&self, epoch: i64, start: Positions) {
        self.close();
        let ring = Ring::new(self.limits, start.clone());
        self.state().log = Some(Log { epoch, positions: start, ring, open: false });
    }

    /// The log was read up to its end: watches of many orders may begin.
    pub fn open(&self) {
        if let Some(log) = &mut self.state().log {
            log.open = true;
        }
        self.ready.send_replace(true);
    }

    /// How far the log of this epoch was read.
    pub fn positions(&self, epoch: i64) -> Option<Positions> {
        self.state().log.as_ref().filter(|log| log.epoch == epoch).map(|log| log.positions.clone())
    }

    /// Passes a transition on to everyone who waits for it.
    pub fn publish(&self, event: Event) {
        let (event, now) = (Arc::new(event), Instant::now());
        let mut state = self.state();
        for watcher in state.watchers.get(&event.order_id).into_iter().flatten() {
            watcher.push(&event, now);
        }
        state.append(&event, now);
    }

    /// A record was read that is nothing to anyone.
    pub fn pass(&self, place: Place) {
        if let Some(log) = &mut self.state().log {
            log.positions.pass(place.partition, place.next);
        }
    }

    /// A record was read whose transitions nobody can tell: watches of many orders end, and begin anew behind it.
    pub fn forget(&self, place: Place) {
        let mut state = self.state();
        if let Some(log) = &mut state.log {
            log.positions.pass(place.partition, place.next);
            log.ring = Ring::new(self.limits, log.positions.clone());
        }
        state.end_followers();
    }

    /// Makes the watches of an order read the store.
    pub fn hint(&self, order_id: Uuid) {
        let (state, now) = (self.state(), Instant::now());
        state.watchers.get(&order_id).into_iter().flatten().for_each(|watcher| watcher.fall_behind(now));
    }

    // --- upkeep ---

    /// Lets go of old transitions and of what stalled readers do not take.
    pub fn clean(&self, stall: Duration) {
        let (mut state, now) = (self.state(), Instant::now());
        state.watchers.values().flatten().for_each(|watcher| watcher.release(stall, now));
        if let Some(log) = &mut state.log {
            log.ring.evict(now);
            let (count, bytes) = log.ring.size();
            gauge!("comanda_watch_ring_records").set(count as f64);
            gauge!("comanda_watch_ring_bytes").set(bytes as f64);
        }
    }

    /// Every order that is watched by a stream which has nothing to do, with the lowest version that such a stream is at.
    pub fn resting(&self) -> Vec<(Uuid, i64)> {
        let state = self.state();
        let lowest = |watchers: &Vec<Arc<Watcher>>| watchers.iter().filter_map(|watcher| watcher.rests_at()).min();
        state.watchers.iter().filter_map(|(order_id, watchers)| Some((*order_id, lowest(watchers)?))).collect()
    }

    /// Makes the streams of an order that rest below a version read the store; tells how many.
    pub fn repair(&self, order_id: Uuid, version: i64) -> usize {
        let (state, now) = (self.state(), Instant::now());
        let watchers = state.watchers.get(&order_id).into_iter().flatten();
        watchers.filter(|watcher| watcher.fall_behind_below(version, now)).count()
    }

    // --- the streams' side ---

    /// Begins to watch an order.
    pub fn watch(self: &Arc<Self>, order_id: Uuid) -> Watching {
        let watcher = Arc::new(Watcher::default());
        self.state().watchers.entry(order_id).or_default().push(watcher.clone());
        Watching { hub: self.clone(), order_id, watcher }
    }

    /// Begins to watch many orders.
    pub fn follow(self: &Arc<Self>, filter: Filter, start: Start) -> Result<Following, NotFollowed> {
        let mut state = self.state();
        let log = state.log.as_ref().filter(|log| log.open).ok_or(NotFollowed::NotReady)?;
        let follower = Follower::new(filter, log, start)?;
        let wake = follower.wake.clone();
        let id = state.next_follower;
        state.next_follower += 1;
        state.followers.insert(id, follower);
        Ok(Following { hub: self.clone(), id, wake })
    }
}

impl State {
    fn end_followers(&mut self) {
        self.followers.drain().for_each(|(_, follower)| follower.wake.notify_one());
    }

    /// Adds an event to the log, where it is news to it.
    fn append(&mut self, event: &Arc<Event>, now: Instant) {
        let Some(log) = &mut self.log else { return };
        let Place { partition, offset, next } = event.place;
        if offset < log.positions.at(partition) {
            // A log that went back was lost; its epoch will tell. Until then it gives no tokens.
            counter!("comanda_watch_rewinds_total").increment(1);
            return;
        }
        log.positions.pass(partition, next);
        if let Some(number) = log.ring.push(event.clone(), now) {
            self.followers.values_mut().for_each(|follower| follower.see(number, event, now));
        }
    }
}

/// A watch of one order; ends when dropped.
#[derive(Debug)]
pub struct Watching {
    hub: Arc<Hub>,
    /// The order.
    pub order_id: Uuid,
    /// What to take.
    pub watcher: Arc<Watcher>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        if let Some(watchers) = state.watchers.get_mut(&self.order_id) {
            watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
            if watchers.is_empty() {
                state.watchers.remove(&self.order_id);
            }
        }
    }
}

/// A watch of many orders; ends when dropped.
#[derive(Debug)]
pub struct Following {
    hub: Arc<Hub>,
    id: u64,
    /// Told when there may be something to take.
    pub wake: Arc<Notify>,
}

impl Following {
    /// Takes what comes next, with a token behind each.
    pub fn take(&self) -> Taken {
        self.with(|follower, log| follower.take(log)).unwrap_or(Taken::Expired)
    }

    /// The token of this moment: behind everything that was taken. `None` once the log is lost.
    pub fn token(&self) -> Option<Vec<u8>> {
        self.with(|follower, log| follower.token(log))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Follower, &Log) -> T) -> Option<T> {
        let state = &mut *self.hub.state();
        Some(look(state.followers.get_mut(&self.id)?, state.log.as_ref()?))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.hub.state().followers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::OrderTransition;

    use super::*;
    use crate::watch::watcher;

    const LIMITS: Limits = Limits { count: 100, bytes: 1_000_000, age: Duration::from_secs(600) };

    fn event(offset: i64, version: i64) -> Event {
        let transition = OrderTransition { order_id: Uuid::nil().to_string(), version, ..Default::default() };
        Event::of_transition(Place::of_record(0, offset), transition).expect("a transition")
    }

    fn hub() -> Arc<Hub> {
        let hub = Hub::new(LIMITS);
        hub.begin(1, Positions::new([0]));
        hub.open();
        hub
    }

    fn everyone() -> Filter {
        Filter::parse(None).expect("the empty filter is valid")
    }

    fn at(next: i64) -> Token {
        Token { epoch: 1, filter: everyone().hash(), positions: Positions::new([next]) }
    }

    fn versions(following: &Following) -> Vec<i64> {
        let mut all = Vec::new();
        while let Taken::Events(events, _) = following.take() {
            all.extend(events.iter().map(|(event, _)| event.version));
        }
        all
    }

    #[test]
    fn there_are_no_tokens_before_the_log_was_read_to_its_end() {
        let hub = Hub::new(LIMITS);
        assert_eq!(hub.follow(everyone(), Start::Now).map(drop), Err(NotFollowed::NotReady));
        hub.begin(1, Positions::new([0]));
        assert_eq!(hub.follow(everyone(), Start::Now).map(drop), Err(NotFollowed::NotReady));
        assert!(!*hub.ready().borrow());
        hub.open();
        assert!(*hub.ready().borrow());
        assert!(hub.follow(everyone(), Start::Now).is_ok());
    }

    #[test]
    fn a_watch_that_resumes_ahead_of_the_hub_gets_only_what_lies_behind_its_token() {
        let hub = hub();
        hub.publish(event(0, 1));
        assert_eq!(hub.follow(everyone(), Start::Token(at(3))).map(drop), Err(NotFollowed::Beyond));
        let following = hub.follow(everyone(), Start::VerifiedToken(at(3))).expect("the broker has it");
        (1..5).for_each(|offset| hub.publish(event(offset, offset + 1)));
        assert_eq!(versions(&following), [4, 5]);
    }

    #[test]
    fn a_log_that_went_back_reaches_watches_of_single_orders_only() {
        let hub = hub();
        let (watching, following) = (hub.watch(Uuid::nil()), hub.follow(everyone(), Start::Now).expect("open"));
        hub.publish(event(7, 1));
        hub.publish(event(0, 2));
        assert_eq!(versions(&following), [1]);
        assert_eq!(hub.positions(1), Some(Positions::new([8])));
        assert_eq!(hub.state().log.as_ref().map(|log| log.ring.size().0), Some(1));
        for version in [1, 2] {
            let taken = watching.watcher.take(0);
            assert!(matches!(taken, watcher::Taken::Event(event, _) if event.version == version));
        }
    }

    #[test]
    fn what_is_lost_ends_watches_of_many_orders_and_their_tokens() {
        let hub = hub();
        let following = hub.follow(everyone(), Start::Now).expect("open");
        let before = at(0);
        hub.forget(Place::of_record(0, 4));
        assert!(matches!(following.take(), Taken::Expired));
        assert_eq!(following.token(), None);
        assert_eq!(hub.follow(everyone(), Start::Token(before)).map(drop), Err(NotFollowed::Expired));
        assert!(hub.follow(everyone(), Start::Token(at(5))).is_ok());
    }

    #[test]
    fn a_watch_that_is_dropped_leaves_nothing_behind() {
        let hub = hub();
        let (one, two) = (hub.watch(Uuid::nil()), hub.watch(Uuid::nil()));
        let following = hub.follow(everyone(), Start::Now).expect("open");
        drop(one);
        assert_eq!(hub.state().watchers[&Uuid::nil()].len(), 1);
        drop((two, following));
        assert!(hub.state().watchers.is_empty() && hub.state().followers.is_empty());
    }
}
