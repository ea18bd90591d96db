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
mod tests;
