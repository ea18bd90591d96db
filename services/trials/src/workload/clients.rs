//! What all clients share.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt, rngs::StdRng};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Settings, replicas::Replicas};
use crate::recorder::Recorder;

/// Orders that readers choose from.
const KNOWN: usize = 10_000;

/// What all clients share.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) settings: Settings,
    pub(super) replicas: Replicas,
    pub(super) recorder: Recorder,
    pub(super) known: Known,
    pub(super) counters: Counters,
    pub(super) rate: Rate,
    /// Places of calls, of movers and of streams.
    pub(super) calls: Arc<Semaphore>,
    pub(super) movers: Arc<Semaphore>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) tasks: TaskTracker,
    /// Start nothing new.
    pub(super) no_more: CancellationToken,
    /// End the streams of many orders, once they have shown what there is.
    pub(super) last_look: CancellationToken,
    /// Leave everything.
    pub(super) shutdown: CancellationToken,
}

/// What has been done.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) asked: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) held_back: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) bad_calls: AtomicU64,
    pub(super) moves: AtomicU64,
    pub(super) resumes: AtomicU64,
    pub(super) watch_events: AtomicU64,
}

impl Clients {
    /// Runs a client that ends at once when everything does.
    pub(super) fn spawn(self: &Arc<Self>, client: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.shutdown.clone().run_until_cancelled_owned(client));
    }

    /// A place, if one is free.
    pub(super) fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        places.clone().try_acquire_owned().ok()
    }

    /// Waits; false if meanwhile nothing new is to be started.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        self.no_more.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
    }
}

/// Orders a second, changed while clients are at work.
#[derive(Debug)]
pub(super) struct Rate(AtomicU64);

impl Rate {
    pub(super) fn new(orders_per_second: f64) -> Self {
        Self(AtomicU64::new(orders_per_second.to_bits()))
    }

    pub(super) fn set(&self, orders_per_second: f64) {
        self.0.store(orders_per_second.to_bits(), Relaxed);
    }

    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// Orders that clients know of: the latest ones.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<VecDeque<KnownOrder>>);

/// An order that was answered OK.
#[derive(Clone, Debug)]
pub(super) struct KnownOrder {
    pub(super) order_id: String,
    pub(super) number: i64,
    pub(super) customer_id: String,
}

impl Known {
    pub(super) fn add(&self, order: KnownOrder) {
        let mut orders = self.0.lock().expect("no holder panics");
        if orders.len() == KNOWN {
            orders.pop_front();
        }
        orders.push_back(order);
    }

    pub(super) fn any(&self, rng: &mut StdRng) -> Option<KnownOrder> {
        let orders = self.0.lock().expect("no holder panics");
        (!orders.is_empty()).then(|| orders[rng.random_range(0..orders.len())].clone())
    }
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}
