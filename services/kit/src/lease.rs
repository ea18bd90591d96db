//! Leadership by a lease row: one replica of each service runs the relay and the timers.
//!
//! Safety does not depend on the lease: each write of a leader names the lease's epoch and does nothing under a newer one, so a former
//! leader can only repeat what readers drop.

use std::{future::Future, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::postgres::{StoreError, bounded};

/// How long a lease lasts on the database's clock.
const LEASE_SECONDS: f64 = 5.0;
/// How long its holder trusts it, on its own monotonic clock, from before it asked.
const TRUST: Duration = Duration::from_secs(4);
/// How often it is asked for.
const RENEWAL: Duration = Duration::from_secs(1);

/// How long the holder of a row in the database may act on it, by its own monotonic clock. It starts when the holder asked, not when
/// the answer came, and ends before the row does, so that it never outlasts the row.
#[derive(Clone, Copy, Debug)]
pub struct Trust(Instant);

impl Trust {
    /// For `time`, from the moment of asking.
    pub fn since(asked: Instant, time: Duration) -> Self {
        Self(asked + time)
    }

    /// Whether the holder may still act.
    pub fn is_live(&self) -> bool {
        Instant::now() < self.0
    }
}

/// A lease held now.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Rises with each change of leader. Every statement of a leader names it.
    pub epoch: i64,
    trust: Trust,
}

impl Lease {
    /// Whether the holder may still act on it.
    pub fn is_live(&self) -> bool {
        self.trust.is_live()
    }
}

/// Takes, renews and gives up the lease of one schema.
#[derive(Clone, Debug)]
pub struct Elector {
    pool: PgPool,
    holder: Uuid,
    held: Arc<watch::Sender<Option<Lease>>>,
}

impl Elector {
    /// An elector for the schema that `pool` sees as its own.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, holder: Uuid::new_v4(), held: Arc::new(watch::Sender::new(None)) }
    }

    /// Asks once: takes the lease if it is free, renews it if we hold it. Returns it if it is ours.
    pub async fn ask(&self) -> Result<Option<Lease>, StoreError> {
        let asked = Instant::now();
        let epoch: Option<i64> = bounded(
            sqlx::query_scalar(
                "UPDATE lease
                 SET epoch = CASE WHEN holder = $1 AND expires_at > now() THEN epoch ELSE epoch + 1 END,
                     holder = $1,
                     expires_at = now() + make_interval(secs => $2)
                 WHERE holder = $1 OR expires_at <= now()
                 RETURNING epoch",
            )
            .bind(self.holder)
            .bind(LEASE_SECONDS)
            .fetch_optional(&self.pool),
        )
        .await?;
        let lease = epoch.map(|epoch| Lease { epoch, trust: Trust::since(asked, TRUST) });
        self.note(lease);
        Ok(lease)
    }

    fn note(&self, lease: Option<Lease>) {
        let before = self.held.send_replace(lease);
        match (before, lease) {
            (None, Some(lease)) => info!(epoch = lease.epoch, "this replica leads now"),
            (Some(_), None) => info!("this replica no longer leads"),
            _ => {}
        }
    }

    /// Keeps asking until `stop`.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            if let Err(error) = self.ask().await {
                warn!("the lease could not be renewed: {error}");
            }
            tokio::select! { _ = renewal.tick() => {} () = stop.cancelled() => {} }
        }
    }

    /// Whether this replica leads now.
    pub fn leads(&self) -> bool {
        self.held.borrow().is_some_and(|lease| lease.is_live())
    }

    /// Waits until this replica leads; `None` when it is to stop.
    pub async fn held(&self, stop: &CancellationToken) -> Option<Lease> {
        let mut held = self.held.subscribe();
        while !stop.is_cancelled() {
            if let Some(lease) = *held.borrow_and_update()
                && lease.is_live()
            {
                return Some(lease);
            }
            tokio::select! { _ = held.changed() => {} () = stop.cancelled() => {} }
        }
        None
    }

    /// Keeps the lease for as long as `work` lasts, which must end when the process is to stop; then gives it up, so that
    /// another replica need not wait for its end.
    pub async fn while_working(&self, work: impl Future<Output = ()>) {
        let done = CancellationToken::new();
        tokio::join!(self.run(&done), async {
            work.await;
            done.cancel();
        });
        if let Err(error) = self.give_up().await {
            warn!("the lease was not given up, it will run out: {error}");
        }
    }

    async fn give_up(&self) -> Result<(), StoreError> {
        self.note(None);
        let statement = sqlx::query("UPDATE lease SET expires_at = '-infinity' WHERE holder = $1").bind(self.holder);
        bounded(statement.execute(&self.pool)).await?;
        Ok(())
    }
}
