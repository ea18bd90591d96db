//! WatchCourier: what a courier has to do, whenever that changes, on whatever replica.
//!
//! Every change that a courier is shown raises its revision in the database, in the same statement. Each replica asks for the revisions of the
//! couriers that its streams watch, all in one statement, and a stream whose courier has a higher one reads what it shows. So a stream needs no
//! topic, and what a courier gets is always one state of the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use comanda_kit::{
    backoff::{Backoff, sleep},
    errors::ApiError,
    postgres::StoreError,
    streams::{Output, Responses, Resume},
};
use comanda_proto::v1::WatchCourierResponse;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{place::CourierKey, reach, store::Store};

/// How often revisions are asked for.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many couriers one statement asks for.
const BATCH: usize = 5000;

/// The couriers that streams of this process watch.
#[derive(Debug, Default)]
pub struct Watched(Mutex<HashMap<CourierKey, watch::Sender<i64>>>);

impl Watched {
    fn couriers(&self) -> MutexGuard<'_, HashMap<CourierKey, watch::Sender<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of a courier, from now on; 0 until it was asked for.
    fn subscribe(self: &Arc<Self>, courier: CourierKey) -> Subscription {
        let revision = self.couriers().entry(courier.clone()).or_default().subscribe();
        Subscription { watched: self.clone(), courier, revision }
    }

    /// Asks for revisions until the stop.
    pub async fn run(self: Arc<Self>, store: Store, stop: CancellationToken) -> Result<()> {
        let mut backoff = Backoff::new(INTERVAL, Duration::from_secs(5));
        while !stop.is_cancelled() {
            sleep(INTERVAL, &stop).await;
            match self.ask(&store).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    warn!("watches of couriers wait for the database: {error}");
                    backoff.wait(&stop).await;
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, store: &Store) -> Result<(), StoreError> {
        let couriers: Vec<_> = self.couriers().keys().cloned().collect();
        for batch in couriers.chunks(BATCH) {
            for (courier, revision) in store.revisions(batch).await? {
                self.note(&courier, revision);
            }
        }
        Ok(())
    }

    fn note(&self, courier: &CourierKey, revision: i64) {
        if let Some(sender) = self.couriers().get(courier) {
            sender.send_if_modified(|known| std::mem::replace(known, revision.max(*known)) < revision);
        }
    }
}

/// What a stream is woken by. It ends when dropped.
#[derive(Debug)]
struct Subscription {
    watched: Arc<Watched>,
    courier: CourierKey,
    revision: watch::Receiver<i64>,
}

impl Subscription {
    /// Waits until the courier has a higher revision than this.
    async fn above(&mut self, revision: i64) -> Result<(), ApiError> {
        // The subscription itself keeps the sender.
        self.revision.wait_for(|now| *now > revision).await.map(drop).map_err(|_| ApiError::internal())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut couriers = self.watched.couriers();
        // Our own receiver still counts.
        if couriers.get(&self.courier).is_some_and(|revision| revision.receiver_count() <= 1) {
            couriers.remove(&self.courier);
        }
    }
}

/// One open stream.
pub struct CourierStream {
    subscription: Subscription,
    store: Store,
    /// What is sent next, or was sent last.
    shown: WatchCourierResponse,
}

impl CourierStream {
    /// Begins with the present. The courier must exist.
    pub async fn open(watched: &Arc<Watched>, store: Store, courier: CourierKey) -> Result<Self, ApiError> {
        // Before the store is asked: what happens in between is then noticed.
        let subscription = watched.subscribe(courier);
        let courier = &subscription.courier;
        let shown = store.shown_to(courier).await?;
        let shown = shown.ok_or_else(|| reach::courier_not_found(&courier.courier_id))?;
        Ok(Self { subscription, store, shown })
    }

    /// Waits for a higher revision and reads what it shows, however long the database is away.
    async fn next(&mut self) -> Result<WatchCourierResponse, ApiError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        self.subscription.above(self.shown.revision).await?;
        let courier = &self.subscription.courier;
        loop {
            match self.store.shown_to(courier).await {
                Err(error) if error.is_transient() => warn!("a watch of a courier waits for the database: {error}"),
                shown => return shown?.ok_or_else(|| reach::courier_not_found(&courier.courier_id)),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
}

impl Responses for CourierStream {
    type Response = WatchCourierResponse;

    async fn run(&mut self, output: &mut Output<WatchCourierResponse>) -> Result<(), ApiError> {
        loop {
            output.send(self.shown.clone(), Resume::Start).await?;
            let last = self.shown.clone();
            self.shown = output.wait_for(self.next(), || Ok((last.clone(), Resume::Start))).await??;
        }
    }
}
