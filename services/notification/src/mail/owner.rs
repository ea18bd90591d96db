//! An owner of claimed mails: one row that says it is alive, and the senders that work in its name.
//!
//! A mail that an owner has taken is its own for as long as the row lives. An owner that could not renew it in time stops by its
//! own clock, and the process goes on under another name: others may have its mails by then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use comanda_kit::{backoff::sleep, postgres::StoreError};
use metrics::gauge;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    claim::claim,
    context::SenderContext,
    sender::{Sender, TOGETHER, ambiguous},
    store::OWNER_SECONDS,
};

/// How long an owner trusts its row, from before it asked. Less than [`OWNER_SECONDS`].
const TRUST: Duration = Duration::from_secs(9);
/// How often the row is renewed.
const RENEWAL: Duration = Duration::from_secs(1);
/// At the first of so many renewals, mails of lost owners are looked for even if no owner is known to have ended.
const LOOK_TICKS: u64 = 20;
/// How often the mails that are not finished are counted, for the metrics.
const CENSUS: Duration = Duration::from_secs(15);
const _: () = assert!(TRUST.as_secs_f64() < OWNER_SECONDS);

/// What an owner knows of its row.
#[derive(Debug)]
pub struct Lease(Mutex<Instant>);

impl Lease {
    fn asked(at: Instant) -> Self {
        Self(Mutex::new(at + TRUST))
    }

    /// Whether the owner may still begin something.
    pub fn is_live(&self) -> bool {
        Instant::now() < *self.trusted_until()
    }

    fn renew(&self, asked: Instant) {
        *self.trusted_until() = asked + TRUST;
    }

    fn end(&self) {
        *self.trusted_until() = Instant::now();
    }

    fn trusted_until(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends mails until `stop`, under one name after the other.
pub async fn run(context: Arc<SenderContext>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        match Owner::begin(&context, &stop).await {
            Ok(owner) => owner.run().await?,
            Err(error) => {
                warn!("no mail can be sent: {error}");
                sleep(RENEWAL, &stop).await;
            }
        }
    }
    Ok(())
}

struct Owner {
    context: Arc<SenderContext>,
    id: Uuid,
    lease: Arc<Lease>,
    /// Cancelled when the process stops or the row's life has ended.
    stop: CancellationToken,
}

impl Owner {
    async fn begin(context: &Arc<SenderContext>, stop: &CancellationToken) -> Result<Self, StoreError> {
        let (id, lease) = (Uuid::new_v4(), Arc::new(Lease::asked(Instant::now())));
        context.store.register(id).await?;
        Ok(Self { context: context.clone(), id, lease, stop: stop.child_token() })
    }

    /// Works until the stop, then gives back what was not begun.
    async fn run(self) -> Result<()> {
        let done = CancellationToken::new();
        let (_, sent) = tokio::join!(self.live(&done), async {
            let sent = self.send().await;
            done.cancel();
            sent
        });
        // Every sender has noted what it began; what is left is what waited in the queue.
        sent?;
        if let Err(error) = self.context.store.release(self.id).await {
            warn!("claimed mails wait until their owner has run out: {error}");
        }
        Ok(())
    }

    async fn send(&self) -> Result<()> {
        let (queue, mails) = mpsc::channel(TOGETHER * usize::from(self.context.senders));
        let (mails, mut senders) = (Arc::new(tokio::sync::Mutex::new(mails)), JoinSet::new());
        for _ in 0..self.context.senders {
            let sender = Sender::new(self.context.clone(), self.id, self.lease.clone(), self.stop.clone());
            senders.spawn(sender.run(mails.clone()));
        }
        claim(&self.context, self.id, queue, &self.stop).await;
        while let Some(ended) = senders.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// Until `done`, keeps the row alive and takes over what other owners have left behind. Neither waits for the other: a slow
    /// answer to one must not end the row.
    async fn live(&self, done: &CancellationToken) {
        let renewing = async {
            let mut ticks = Ticks::every(RENEWAL, done);
            while ticks.next().await {
                self.renew().await;
            }
        };
        let taking_over = async {
            let mut ticks = Ticks::every(RENEWAL, done);
            for tick in 0u64.. {
                if !ticks.next().await {
                    break;
                }
                self.take_over(tick.is_multiple_of(LOOK_TICKS)).await;
            }
        };
        let counting = async {
            let mut ticks = Ticks::every(CENSUS, done);
            while ticks.next().await {
                self.count().await;
            }
        };
        tokio::join!(renewing, taking_over, counting);
    }

    async fn renew(&self) {
        if !self.lease.is_live() {
            return;
        }
        let asked = Instant::now();
        match self.context.store.renew(self.id).await {
            Ok(true) => self.lease.renew(asked),
            Ok(false) => self.lease.end(),
            Err(error) => warn!("the owner of mails could not be renewed: {error}"),
        }
        if !self.lease.is_live() {
            info!("the owner of mails has run out of time: going on under another name");
            self.stop.cancel();
        }
    }

    async fn take_over(&self, look_anyway: bool) {
        // Not once the row has run out: the senders may still hold answers that make mails of ours certain.
        if self.stop.is_cancelled() {
            return;
        }
        match self.context.store.recover(look_anyway).await {
            Ok(0) => {}
            Ok(lost) => {
                ambiguous(lost);
                self.context.due.notify_one();
            }
            Err(error) => warn!("mails that others have left wait: {error}"),
        }
    }

    async fn count(&self) {
        match self.context.store.counts().await {
            Ok(counts) => {
                for (state, count) in counts {
                    gauge!("comanda_mails", "state" => state).set(count as f64);
                }
            }
            Err(error) => warn!("the mails were not counted: {error}"),
        }
    }
}

/// A clock that ends.
struct Ticks<'a> {
    interval: Interval,
    done: &'a CancellationToken,
}

impl<'a> Ticks<'a> {
    fn every(period: Duration, done: &'a CancellationToken) -> Self {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, done }
    }

    /// True at the next tick, the first of which comes at once; false when it is over.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interval.tick() => true,
            () = self.done.cancelled() => false,
        }
    }
}
