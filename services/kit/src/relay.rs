//! The relay: publishes what a service's outbox points at, in version order per key, at least once.
//!
//! In: the outbox, filled by the statement that wrote the row. Out: records on the service's topic. Each round takes the lowest
//! version of each key, publishes them, awaits Kafka's acks and deletes exactly what was acked. No cursor over versions is kept: rows of
//! one key become visible in version order (each is written under compare-and-set), so the lowest present is the next one, however late
//! it was committed. While Kafka is away the outbox grows, and nothing else happens.

mod acks;
mod log;
mod lost_log;
mod monitor;
mod operator;
mod outbox;
mod partitioner;
mod pointers;
mod set_aside;

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use metrics::{counter, histogram};
use sqlx::PgPool;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use self::{
    acks::{Acks, Unnumbered},
    log::{Ack, Log, explain},
    lost_log::Acked,
    monitor::Monitor,
    pointers::Pointers,
    set_aside::SetAside,
};
pub use self::{
    operator::Operator,
    outbox::{Outbox, Outgoing, Pointer},
    pointers::MOST_COUNTED,
};
use crate::{
    backoff::{Backoff, breathe, sleep},
    kafka,
    lease::{Elector, Lease},
    planted,
};

/// How many records one round publishes at most.
const BATCH: i64 = 1000;
/// How many batches one round looks through for something to publish, while some keys are set aside.
const MOST_PAGES: usize = 100;
/// How long the relay rests when the outbox is empty: rows of other replicas wait this long.
const POLL: Duration = Duration::from_millis(100);
/// How long a round waits for acks. Records that take longer are set aside, with their partition, until they are acked or fail.
const PATIENCE: Duration = Duration::from_secs(1);

/// Publishes one outbox to one topic.
pub struct Relay<O> {
    pointers: Pointers,
    outbox: Arc<O>,
    log: Arc<Log>,
    monitor: Monitor<O>,
    nudge: Arc<Notify>,
    acked: Acked,
    unnumbered: Unnumbered,
    set_aside: SetAside,
    epoch: i64,
    /// Where to look further, while keys before it are set aside.
    after: Option<Uuid>,
}

impl<O: Outbox> Relay<O> {
    /// A relay for the schema that `pool` sees as its own. `nudge` is notified after each local commit.
    pub fn new(pool: PgPool, outbox: O, kafka: kafka::Config, topic: String, nudge: Arc<Notify>) -> Result<Self> {
        let (outbox, log) = (Arc::new(outbox), Arc::new(Log::new(kafka, topic)?));
        Ok(Self {
            pointers: Pointers::new(&pool),
            monitor: Monitor::new(pool, outbox.clone(), log.clone()),
            outbox,
            log,
            nudge,
            acked: Acked::default(),
            unnumbered: Unnumbered::default(),
            set_aside: SetAside::default(),
            epoch: 0,
            after: None,
        })
    }

    /// Publishes for as long as this replica leads, until `stop`.
    pub async fn run(mut self, elector: Elector, stop: CancellationToken) {
        let monitor = Monitor::clone(&self.monitor);
        tokio::join!(monitor.run(&elector, &stop), self.keep_publishing(&elector, &stop));
        // Dropping a producer blocks for up to half a second.
        let _ = tokio::task::spawn_blocking(move || drop((self, monitor))).await;
    }

    async fn keep_publishing(&mut self, elector: &Elector, stop: &CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while let Some(lease) = elector.held(stop).await {
            let started = Instant::now();
            match self.publish_next(lease).await {
                Ok(0) => self.rest(stop).await,
                Ok(published) => {
                    backoff.reset();
                    if published < BATCH as usize {
                        breathe(started, published, stop).await;
                    }
                }
                Err(error) => {
                    let topic = self.log.topic();
                    warn!(
                        topic,
                        "a round of the relay failed; what was not acked and deleted is published again: {error:#}"
                    );
                    backoff.wait(stop).await;
                }
            }
        }
    }

    async fn rest(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.nudge.notified() => {}
            () = sleep(POLL, stop) => {}
        }
    }

    /// One round: publishes the next version of each key. Returns how many records were acked; fails if some failed and none was acked.
    pub async fn publish_next(&mut self, lease: Lease) -> Result<usize> {
        self.begin_term(lease);
        self.set_aside.expire();
        let batch = self.next_batch(lease).await?;
        if batch.is_empty() && self.set_aside.is_empty() {
            return Ok(0);
        }
        if planted!("pointer-deleted-before-ack") {
            let deleted: Vec<_> = batch.iter().map(|outgoing| (outgoing.pointer(), Ok((0, -1)))).collect();
            self.settle(lease, &deleted).await?;
        }
        let results = self.publish(batch).await;
        let acked = self.settle(lease, &results).await?;
        let failures = results.into_iter().filter_map(|(pointer, ack)| Some((pointer.key, ack.err()?)));
        self.set_aside_failed(failures.collect(), acked)
    }

    /// What was sent in an earlier term may have gone to a log that is lost since, and an operator may have put its pointer back: its
    /// ack deletes nothing.
    fn begin_term(&mut self, lease: Lease) {
        if lease.epoch != self.epoch {
            self.set_aside.forget_unacked();
            (self.epoch, self.after) = (lease.epoch, None);
        }
    }

    /// The next records, without those that are set aside.
    async fn next_batch(&mut self, lease: Lease) -> Result<Vec<Outgoing>> {
        for _ in 0..MOST_PAGES {
            if self.set_aside.is_everything(&self.log) {
                break;
            }
            let mut page = self.pointers.next(BATCH, self.after).await?;
            let is_last = page.len() < BATCH as usize;
            // Nothing set aside: the next round begins at the head again.
            let last = page.last().filter(|_| !is_last && !self.set_aside.is_empty());
            self.after = last.map(|pointer| pointer.key);
            page.retain(|pointer| !self.set_aside.holds(&pointer.key, &self.log));
            let batch = if page.is_empty() { Vec::new() } else { self.outbox.records(&page).await? };
            let found: HashSet<_> = batch.iter().map(Outgoing::pointer).collect();
            page.retain(|pointer| !found.contains(pointer));
            self.pointers.drop_dangling(lease, self.log.topic(), &page).await?;
            if !batch.is_empty() || is_last {
                return Ok(batch);
            }
        }
        Ok(Vec::new())
    }

    /// Sends every record at once and awaits acks for a bounded time. Acks of earlier rounds that came meanwhile are among the results.
    async fn publish(&mut self, batch: Vec<Outgoing>) -> Vec<(Pointer, Ack)> {
        let (started, has_sent, old) = (Instant::now(), !batch.is_empty(), self.set_aside.unacked());
        let mut results = Vec::with_capacity(batch.len());
        for outgoing in batch {
            let pointer = outgoing.pointer();
            match self.log.send(outgoing) {
                Ok(delivery) => self.set_aside.keep(pointer, delivery, &self.log),
                Err(failure) => results.push((pointer, Err(failure))),
            }
        }
        results.extend(self.set_aside.take_finished(old, started + PATIENCE, &self.log).await);
        if has_sent {
            let topic = self.log.topic().to_owned();
            histogram!("comanda_relay_publish_seconds", "topic" => topic).record(started.elapsed());
        }
        results
    }

    /// Deletes what was acked and notes how far each partition got. An ack that is not above an earlier one shows that the log was lost.
    async fn settle(&mut self, lease: Lease, results: &[(Pointer, Ack)]) -> Result<usize> {
        let acks = Acks::of(results, &mut self.unnumbered);
        if acks.is_empty() {
            return Ok(0);
        }
        let is_lost = self.acked.shows_loss(&acks.reach);
        let (leads, was_lost) = self.pointers.forget(lease, &acks, is_lost).await?;
        ensure!(leads, "the lease has a newer epoch than {}", lease.epoch);
        self.acked.noted();
        if was_lost {
            lost_log::report(self.log.topic());
        }
        self.pointers.vacuum_at_times().await;
        counter!("comanda_relay_published_total", "topic" => self.log.topic().to_owned()).increment(acks.len() as u64);
        Ok(acks.len())
    }

    fn set_aside_failed(&mut self, failures: Vec<(Uuid, log::Failure)>, acked: usize) -> Result<usize> {
        for (key, failure) in &failures {
            self.set_aside.fail(*key, failure);
        }
        let Some((_, failure)) = failures.into_iter().next() else { return Ok(acked) };
        if self.log.renew_if_broken(&failure)? {
            self.set_aside.forget_unacked();
        }
        if acked == 0 { Err(explain(failure.error)) } else { Ok(acked) }
    }
}
