//! Where the transitions that were read from the topic meet the streams that wait for them.
//!
//! In: events from the reader. Out: for each WatchOrder stream the events of its order, by a small channel; for each WatchOrders stream a
//! cursor in the shared [`Ring`]. Publishing never waits for a stream.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use metrics::gauge;
use tokio::{
    sync::{Notify, broadcast, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{
    cursor::{Batch, Cursor, Expired, NotStarted, Start},
    event::Event,
    filter::Filter,
    ring::{Limits, Ring},
    token::Offsets,
};

/// How many transitions of its order a WatchOrder stream may have outstanding. One that has more reads the store instead.
const UPDATES: usize = 16;

/// What a WatchOrder stream is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// A transition of its order.
    Event(Arc<Event>),
    /// The topic may have left out a transition: read the store.
    Reread,
}

/// The streams of this process and what they are served from.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    ready: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    orders: HashMap<Uuid, WatchedOrder>,
    cursors: HashMap<u64, Cursor>,
    next_cursor: u64,
    ring: Option<Ring>,
    /// Whether the topic was read up to the end that it had when reading began.
    is_complete: bool,
}

/// An order that streams watch.
#[derive(Debug)]
struct WatchedOrder {
    updates: broadcast::Sender<Update>,
    /// All its streams were told of everything up to this version; `None` until the first of them knows its own.
    version: Option<i64>,
}

impl Default for WatchedOrder {
    fn default() -> Self {
        Self { updates: broadcast::Sender::new(UPDATES), version: None }
    }
}

impl WatchedOrder {
    fn tell(&mut self, update: Update, version: Option<i64>) -> usize {
        self.version = self.version.max(version);
        self.updates.send(update).unwrap_or(0)
    }
}

/// What the reader of the topic calls.
impl Hub {
    /// A hub that knows nothing of a log.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, ready: watch::Sender::new(false), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// True while the topic was read to its end.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Forgets a log that was lost: WatchOrders streams end.
    pub fn close(&self) {
        self.ready.send_replace(false);
        let mut state = self.state();
        state.ring = None;
        state.is_complete = false;
        state.end_cursors();
    }

    /// Begins to read a log at `start`.
    pub fn begin(&self, epoch: i64, start: Offsets) {
        self.close();
        self.state().ring = Some(Ring::new(self.limits, epoch, start));
    }

    /// Adds the partitions that the topic got, which are read from `start` on.
    pub fn add_partitions(&self, start: &Offsets) {
        if let Some(ring) = &mut self.state().ring {
            ring.add_partitions(start);
        }
    }

    /// The log was read to its end: WatchOrders streams may start.
    pub fn complete(&self) {
        self.state().is_complete = true;
        self.ready.send_replace(true);
    }

    /// How far the log of this epoch was read.
    pub fn read(&self, epoch: i64) -> Option<Offsets> {
        self.state().ring.as_ref().filter(|ring| ring.epoch() == epoch).map(|ring| ring.read().clone())
    }

    /// Gives a transition to every stream that shows it.
    pub fn publish(&self, event: Event) {
        let event = Arc::new(event);
        let mut state = self.state();
        if let Some(order) = state.orders.get_mut(&event.order_id) {
            order.tell(Update::Event(event.clone()), Some(event.version));
        }
        state.append(event);
    }

    /// A record was read that tells nothing.
    pub fn pass(&self, partition: i32, next: i64) {
        if let Some(ring) = &mut self.state().ring {
            ring.advance(partition, next);
        }
    }

    /// A record was read that cannot be told: WatchOrders streams end, and none resumes before it.
    pub fn lose(&self, partition: i32, next: i64) {
        let mut state = self.state();
        if let Some(ring) = &mut state.ring {
            ring.advance(partition, next);
            ring.clear();
        }
        state.end_cursors();
    }
}

/// What the repair calls.
impl Hub {
    /// Removes transitions that are too old.
    pub fn evict(&self) {
        if let Some(ring) = &mut self.state().ring {
            ring.evict(Instant::now());
            let (count, bytes) = ring.size();
            gauge!("comanda_watch_ring_records").set(count as f64);
            gauge!("comanda_watch_ring_bytes").set(bytes as f64);
        }
    }

    /// Every watched order with the version that its streams were told of.
    pub fn watched(&self) -> Vec<(Uuid, i64)> {
        let state = self.state();
        state.orders.iter().filter_map(|(order_id, order)| Some((*order_id, order.version?))).collect()
    }

    /// Makes the streams of an order read the store, which has this version; returns how many there are.
    pub fn reread(&self, order_id: Uuid, version: Option<i64>) -> usize {
        let mut state = self.state();
        state.orders.get_mut(&order_id).map_or(0, |order| order.tell(Update::Reread, version))
    }
}

/// What the streams call.
impl Hub {
    /// Subscribes to an order.
    pub fn watch_order(self: &Arc<Self>, order_id: Uuid) -> OrderSubscription {
        let updates = self.state().orders.entry(order_id).or_default().updates.subscribe();
        OrderSubscription { hub: self.clone(), order_id, updates }
    }

    /// Subscribes to the orders that a filter matches.
    pub fn watch_orders(self: &Arc<Self>, filter: Filter, start: Start) -> Result<OrdersSubscription, NotStarted> {
        let mut state = self.state();
        let ring = state.ring.as_ref().filter(|_| state.is_complete).ok_or(NotStarted::NotReady)?;
        let cursor = Cursor::new(filter, ring, start)?;
        let news = cursor.news.clone();
        let id = state.next_cursor;
        state.next_cursor += 1;
        state.cursors.insert(id, cursor);
        Ok(OrdersSubscription { hub: self.clone(), id, news })
    }
}

impl State {
    fn end_cursors(&mut self) {
        self.cursors.drain().for_each(|(_, cursor)| cursor.news.notify_one());
    }

    fn append(&mut self, event: Arc<Event>) {
        let Some(ring) = &mut self.ring else { return };
        if let Some(number) = ring.push(event.clone(), Instant::now()) {
            self.cursors.values_mut().for_each(|cursor| cursor.see(number, &event));
        }
    }
}

/// What a WatchOrder stream takes its updates from. It ends when dropped.
#[derive(Debug)]
pub struct OrderSubscription {
    hub: Arc<Hub>,
    /// The order.
    pub order_id: Uuid,
    /// What happens to it. A receiver that lags has missed updates, and reads the store.
    pub updates: broadcast::Receiver<Update>,
}

impl OrderSubscription {
    /// Notes the version that the stream has read from the store.
    pub fn starts_at(&self, version: i64) {
        if let Some(order) = self.hub.state().orders.get_mut(&self.order_id) {
            order.version.get_or_insert(version);
        }
    }
}

impl Drop for OrderSubscription {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        // Our own receiver still counts.
        if state.orders.get(&self.order_id).is_some_and(|order| order.updates.receiver_count() <= 1) {
            state.orders.remove(&self.order_id);
        }
    }
}

/// What a WatchOrders stream takes its transitions from. It ends when dropped.
#[derive(Debug)]
pub struct OrdersSubscription {
    hub: Arc<Hub>,
    id: u64,
    /// Notified when there may be something to take.
    pub news: Arc<Notify>,
}

impl OrdersSubscription {
    /// Takes what comes next.
    pub fn take(&self) -> Result<Batch, Expired> {
        self.with(Cursor::take)?
    }

    /// The token after everything that was taken.
    pub fn token(&self) -> Result<Bytes, Expired> {
        self.with(Cursor::token)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Cursor, &Ring) -> T) -> Result<T, Expired> {
        let state = &mut *self.hub.state();
        match (state.cursors.get_mut(&self.id), &state.ring) {
            (Some(cursor), Some(ring)) => Ok(look(cursor, ring)),
            _ => Err(Expired),
        }
    }
}

impl Drop for OrdersSubscription {
    fn drop(&mut self) {
        self.hub.state().cursors.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use comanda_kit::{
        access::{DEFAULT_TENANT, Scope},
        errors::Violations,
    };
    use comanda_proto::{access::Role, events::OrderTransition};

    use super::*;
    use crate::watch::token::Token;

    const LIMITS: Limits = Limits { count: 100, bytes: 1_000_000, age: Duration::from_secs(600) };

    fn event(offset: i64, version: i64) -> Event {
        let (order_id, tenant) = (Uuid::nil().to_string(), DEFAULT_TENANT.to_owned());
        let transition = OrderTransition { order_id, tenant, version, ..Default::default() };
        Event::of_transition(0, offset, transition).expect("a transition")
    }

    fn hub() -> Arc<Hub> {
        let hub = Hub::new(LIMITS);
        hub.begin(1, Offsets::new([0]));
        hub.complete();
        hub
    }

    fn everything() -> Filter {
        Filter::parse(Scope::built_in(), None, Violations::default()).expect("the empty filter is valid")
    }

    fn at(next: i64) -> Token {
        Token { epoch: 1, filter_hash: everything().hash().into(), offsets: Offsets::new([next]) }
    }

    fn versions(subscription: &OrdersSubscription) -> Vec<i64> {
        let mut all = Vec::new();
        loop {
            let batch = subscription.take().expect("within the ring");
            all.extend(batch.events.iter().map(|(event, _)| event.version));
            if !batch.more {
                return all;
            }
        }
    }

    fn updates(subscription: &mut OrderSubscription) -> Vec<Option<i64>> {
        let next = || match subscription.updates.try_recv().ok()? {
            Update::Event(event) => Some(Some(event.version)),
            Update::Reread => Some(None),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn no_stream_of_many_orders_starts_before_the_log_was_read_to_its_end() {
        let hub = Hub::new(LIMITS);
        assert_eq!(hub.watch_orders(everything(), Start::Now).map(drop), Err(NotStarted::NotReady));
        hub.begin(1, Offsets::new([0]));
        assert_eq!(hub.watch_orders(everything(), Start::Now).map(drop), Err(NotStarted::NotReady));
        assert!(!*hub.ready().borrow());
        hub.complete();
        assert!(*hub.ready().borrow());
        assert!(hub.watch_orders(everything(), Start::Now).is_ok());
    }

    #[test]
    fn a_stream_that_resumes_beyond_what_was_read_gets_only_what_follows_its_token() {
        let hub = hub();
        hub.publish(event(0, 1));
        assert_eq!(hub.watch_orders(everything(), Start::Token(at(3))).map(drop), Err(NotStarted::Beyond));
        let stream = hub.watch_orders(everything(), Start::VerifiedToken(at(3))).expect("the broker has it");
        (1..5).for_each(|offset| hub.publish(event(offset, offset + 1)));
        assert_eq!(versions(&stream), [4, 5]);
    }

    #[test]
    fn a_log_that_went_back_reaches_streams_of_single_orders_only() {
        let hub = hub();
        let mut one = hub.watch_order(Uuid::nil());
        let many = hub.watch_orders(everything(), Start::Now).expect("complete");
        hub.publish(event(7, 1));
        hub.publish(event(0, 2));
        assert_eq!(versions(&many), [1]);
        assert_eq!(hub.read(1), Some(Offsets::new([8])));
        assert_eq!(updates(&mut one), [Some(1), Some(2)]);
    }

    #[test]
    fn a_lost_record_ends_streams_of_many_orders_and_their_tokens() {
        let hub = hub();
        let stream = hub.watch_orders(everything(), Start::Now).expect("complete");
        hub.lose(0, 5);
        assert_eq!(stream.take().map(drop), Err(Expired));
        assert_eq!(stream.token(), Err(Expired));
        assert_eq!(hub.watch_orders(everything(), Start::Token(at(0))).map(drop), Err(NotStarted::Expired));
        assert!(hub.watch_orders(everything(), Start::Token(at(5))).is_ok());
    }

    #[test]
    fn a_stream_goes_on_when_the_topic_gets_more_partitions() {
        let hub = hub();
        let stream = hub.watch_orders(everything(), Start::Now).expect("complete");
        hub.publish(event(0, 1));
        hub.add_partitions(&Offsets::new([0, 0]));
        hub.publish(Event { partition: 1, ..event(0, 2) });
        assert_eq!(versions(&stream), [1, 2]);
        let token = Token::decode(&stream.token().expect("alive"), everything().hash()).expect("our own");
        assert_eq!(token.offsets, Offsets::new([1, 1]));
        let resumed = hub.watch_orders(everything(), Start::Token(at(1))).expect("a token of before");
        assert_eq!(versions(&resumed), [2]);
    }

    #[test]
    fn a_tenant_gets_nothing_of_another_tenant() {
        let hub = hub();
        let other = Scope::new("acme", "owner", Role::Owner);
        let other = Filter::parse(other, None, Violations::default()).expect("valid");
        let stream = hub.watch_orders(other, Start::Now).expect("complete");
        hub.publish(event(0, 1));
        assert_eq!(versions(&stream), [] as [i64; 0]);
    }

    #[test]
    fn a_stream_that_leaves_too_much_is_told_that_it_lags() {
        let hub = hub();
        let mut stream = hub.watch_order(Uuid::nil());
        (0..=UPDATES as i64).for_each(|offset| hub.publish(event(offset, offset + 1)));
        assert!(matches!(stream.updates.try_recv(), Err(broadcast::error::TryRecvError::Lagged(1))));
    }

    #[test]
    fn only_orders_that_the_store_has_moved_on_are_reread() {
        let hub = hub();
        let mut stream = hub.watch_order(Uuid::nil());
        assert_eq!(hub.watched(), [], "it does not know its version yet");
        stream.starts_at(3);
        hub.watch_order(Uuid::nil()).starts_at(5);
        assert_eq!(hub.watched(), [(Uuid::nil(), 3)], "the first stream may have missed 4 and 5");
        hub.publish(event(0, 4));
        assert_eq!(hub.reread(Uuid::nil(), Some(6)), 1);
        assert_eq!(hub.watched(), [(Uuid::nil(), 6)]);
        assert_eq!(updates(&mut stream), [Some(4), None]);
    }

    #[test]
    fn a_stream_that_is_dropped_leaves_nothing_behind() {
        let hub = hub();
        let (one, two) = (hub.watch_order(Uuid::nil()), hub.watch_order(Uuid::nil()));
        let many = hub.watch_orders(everything(), Start::Now).expect("complete");
        drop(one);
        assert_eq!(hub.state().orders.len(), 1);
        drop((two, many));
        assert!(hub.state().orders.is_empty() && hub.state().cursors.is_empty());
    }
}
