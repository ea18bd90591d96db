//! Timers: an order whose status lasted long enough moves on by itself.
//!
//! In: rows whose `due_at` has passed on the database's clock, the only clock here. Out: transitions, by compare-and-set. One statement picks,
//! moves and records them, along edges that [`edges`](crate::edges) derives from the workflows. Only the leader fires; a second one would lose
//! every compare-and-set.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use comanda_kit::{
    backoff::{Backoff, breathe, sleep},
    lease::{Elector, Lease},
    planted,
    postgres::StoreError,
    workflows::Workflows,
};
use metrics::{counter, histogram};
use time::OffsetDateTime;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    edges::Edges,
    store::{Due, Store},
};

/// How many timers fire in one statement.
const BATCH: i64 = 500;
/// The longest sleep: orders that other replicas adopt are found after it.
const MAX_SLEEP: Duration = Duration::from_millis(200);
/// The shortest: until a former leader notices that it lost the lease, it finds due rows that it may not fire.
const MIN_SLEEP: Duration = Duration::from_millis(5);
/// Index entries up to the last fired time are dead, and skipping them takes time: reading starts this much before that time ..
const OVERLAP: Duration = Duration::from_secs(5);
/// .. and this often from the beginning.
const FULL_READ: Duration = Duration::from_secs(1);

/// Fires timers.
pub struct Timers {
    store: Store,
    workflows: Workflows,
    /// Notified of adopted orders.
    nudge: Arc<Notify>,
    /// Notified of transitions: the relay.
    relay: Arc<Notify>,
    /// Of workflows in which a timer has run out.
    edges: Edges,
    last_due: Option<OffsetDateTime>,
    full_read: Instant,
}

impl Timers {
    /// Sleeps until a timer is due or `nudge` is notified, and notifies `relay` of what it wrote.
    pub fn new(store: Store, workflows: Workflows, nudge: Arc<Notify>, relay: Arc<Notify>) -> Self {
        Self { store, workflows, nudge, relay, edges: Edges::default(), last_due: None, full_read: Instant::now() }
    }

    /// Fires for as long as this replica leads, until `stop`.
    pub async fn run(mut self, elector: Elector, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while let Some(lease) = elector.held(&stop).await {
            while planted!("former-leader-keeps-firing") && !stop.is_cancelled() {
                _ = self.fire_next(lease).await;
                self.rest(&stop).await;
            }
            let started = Instant::now();
            match self.fire_next(lease).await {
                Ok(0) => self.rest(&stop).await,
                Ok(fired) => {
                    backoff.reset();
                    if fired < BATCH as u64 {
                        breathe(started, fired as usize, &stop).await;
                    }
                }
                Err(error) => {
                    warn!("timers wait: {error}");
                    backoff.wait(&stop).await;
                }
            }
        }
    }

    /// Fires what is due, at most a batch. Returns how many orders moved.
    pub async fn fire_next(&mut self, lease: Lease) -> Result<u64, StoreError> {
        let (after, mut moved) = (self.read_from(), 0);
        self.edges.forget_if_many();
        loop {
            let due = self.store.fire(&self.edges, after, BATCH, lease).await?;
            let (fired, stuck): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| due.to_status.is_some());
            moved += self.note(&fired);
            if !self.learn(&stuck).await? {
                return Ok(moved);
            }
        }
    }

    fn note(&mut self, fired: &[Due]) -> u64 {
        fired.iter().for_each(|due| histogram!("comanda_timer_late_seconds").record(due.late_seconds));
        let moved = fired.len() as u64;
        counter!("comanda_timers_fired_total").increment(moved);
        if moved > 0 {
            self.last_due = fired.iter().map(|due| due.due_at).max();
            self.relay.notify_one();
        }
        moved
    }

    /// Adds the edges of workflows that were not known. False if there are none.
    async fn learn(&mut self, stuck: &[Due]) -> Result<bool, StoreError> {
        let mut learned = false;
        for due in stuck {
            if !self.edges.knows(&due.workflow, due.revision) {
                self.edges.add(&*self.workflows.get(&due.workflow, due.revision).await?);
                learned = true;
            } else if !learned {
                let (order_id, status) = (due.order_id, &due.from_status);
                error!(%order_id, status, "the order is due, but its workflow has no timer for its status");
            }
        }
        Ok(learned)
    }

    /// Where this read of the index starts.
    fn read_from(&mut self) -> Option<OffsetDateTime> {
        if planted!("timers-in-memory") {
            static STARTED: LazyLock<OffsetDateTime> = LazyLock::new(OffsetDateTime::now_utc);
            return Some(*STARTED);
        }
        if self.full_read.elapsed() >= FULL_READ {
            self.full_read = Instant::now();
            return None;
        }
        self.last_due.map(|last| last - OVERLAP)
    }

    async fn rest(&self, stop: &CancellationToken) {
        let next = self.store.next_due_seconds(self.last_due.map(|last| last - OVERLAP)).await.ok().flatten();
        let until_next = next.map_or(MAX_SLEEP, |seconds| Duration::from_secs_f64(seconds.max(0.0)));
        let until_next = until_next.clamp(MIN_SLEEP, MAX_SLEEP);
        tokio::select! {
            () = self.nudge.notified() => {}
            () = sleep(until_next, stop) => {}
        }
    }
}
