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

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Settings, entry::Entry, http::Gateway, replicas::Replicas};
use crate::{
    cluster::{Role, Tenant},
    recorder::Recorder,
};

/// Orders that readers choose from.
const KNOWN: usize = 10_000;

/// What all clients of a tenant share.
#[derive(Debug)]
pub(super) struct Clients {
    /// For whom all of them call.
    pub(super) tenant: Tenant,
    pub(super) settings: Settings,
    pub(super) replicas: Replicas,
    /// Perhaps none.
    pub(super) gateways: Vec<Gateway>,
    pub(super) recorder: Recorder,
    pub(super) known: Known,
    /// Orders and calls that were not begun because too many calls were in flight.
    pub(super) held_back: AtomicU64,
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

impl Clients {
    /// Runs a client that ends at once when everything does.
    pub(super) fn spawn(self: &Arc<Self>, client: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.shutdown.clone().run_until_cancelled_owned(client));
    }

    /// Whether somebody speaks HTTP: never where there is no gateway.
    pub(super) fn goes_by_http(&self, rng: &mut StdRng) -> bool {
        !self.gateways.is_empty() && rng.random_bool(self.settings.http)
    }

    /// A random way to a role: to a process of it, or to a gateway.
    pub(super) fn entry(&self, by_http: bool, role: Role, rng: &mut StdRng) -> Entry {
        match self.gateways.choose(rng).filter(|_| by_http) {
            Some(gateway) => Entry::Http(gateway.clone()),
            None => Entry::Grpc(self.replicas.any(role, rng)),
        }
    }

    /// Notes that orders or calls are not begun.
    pub(super) fn hold_back(&self, count: usize) {
        self.held_back.fetch_add(count as u64, Relaxed);
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
