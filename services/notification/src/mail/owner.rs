//! An owner of mails: its lease, and the senders that work in its name.
//!
//! A mail that an owner has taken is its own for as long as the lease lasts. An owner that could not renew it in time stops by its
//! own clock, and the process goes on as a new owner: others may have its mails by then.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use comanda_kit::backoff::sleep;
use metrics::gauge;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    claim::claim,
    context::{SenderContext, ambiguous},
    handover::{Handover, Taker},
    lease::Lease,
    sender::{Sender, TOGETHER},
};

/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(1);
/// At the first of this many renewals, mails of lost owners are looked for even if no owner is known to have ended.
const LOOK_TICKS: u64 = 20;
/// How often mails are counted for the metrics.
const CENSUS: Duration = Duration::from_secs(15);

/// Sends mails until `stop`, as one owner after the other.
pub async fn run(context: Arc<SenderContext>, handover: Arc<Handover>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        match Lease::take(context.store.clone()).await {
            Ok(lease) => Owner::new(&context, &handover, lease, &stop).run().await?,
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
    handover: Arc<Handover>,
    lease: Arc<Lease>,
    /// Cancelled when the process stops or the lease has ended.
    stop: CancellationToken,
}

impl Owner {
    fn new(context: &Arc<SenderContext>, handover: &Arc<Handover>, lease: Lease, stop: &CancellationToken) -> Self {
        let (context, handover) = (context.clone(), handover.clone());
        Self { context, handover, lease: Arc::new(lease), stop: stop.child_token() }
    }

    /// Works until the stop, then gives back what was not begun.
    async fn run(self) -> Result<()> {
        let done = CancellationToken::new();
        let (_, sent) = tokio::join!(self.live(&done), async {
            let sent = self.send().await;
            done.cancel();
            sent
        });
        // Every sender has written what it began; what is left is what waited in the queue.
        sent?;
        self.lease.give_up().await;
        Ok(())
    }

    async fn send(&self) -> Result<()> {
        let (queue, mails) = mpsc::channel(TOGETHER * usize::from(self.context.senders));
        let (mails, mut senders) = (Arc::new(tokio::sync::Mutex::new(mails)), JoinSet::new());
        for _ in 0..self.context.senders {
            let sender = Sender::new(self.context.clone(), self.lease.clone(), self.stop.clone());
            senders.spawn(sender.run(mails.clone()));
        }
        let (context, owner, stop) = (self.context.clone(), self.lease.owner, self.stop.clone());
        self.handover.begin(Taker { context, owner, queue: queue.clone(), stop }).await;
        claim(&self.context, owner, queue, &self.stop).await;
        self.handover.end().await;
        while let Some(ended) = senders.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// Until `done`, renews the lease and takes over what other owners have left behind. Neither waits for the other: a slow
    /// answer to one must not end the lease.
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
        self.lease.renew().await;
        if !self.lease.is_live() && !self.stop.is_cancelled() {
            info!("the lease of these mails has ended: going on as a new owner");
            self.stop.cancel();
        }
    }

    async fn take_over(&self, look_anyway: bool) {
        // Not once the lease has ended: the senders may still hold answers that make mails of ours certain.
        if self.stop.is_cancelled() {
            return;
        }
        match self.context.store.recover(look_anyway).await {
            Ok(0) => {}
            Ok(lost) => {
                ambiguous(lost);
                self.context.due.entered();
            }
            Err(error) => warn!("mails that others have left wait: {error}"),
        }
    }

    async fn count(&self) {
        let too_old = self.context.too_old.swap(0, Relaxed);
        if too_old > 0 {
            warn!(
                "{too_old} mails were older than the maximum age and are suppressed; `comanda mail list --too-old` shows them"
            );
        }
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
