//! The relay: publishes what a service's outbox points at, in version order per key, at least once.
//!
//! In: the outbox, one row for each statement that wrote something to publish. Out: records on the service's topic. Each round takes the
//! first pointer of each key from the rows at the head, publishes the records, awaits Kafka's acks and deletes exactly the pointers that were
//! acked, and a row with its last pointer. No cursor is kept: rows that hold versions of one key become visible in the order of these
//! versions (each is written under compare-and-set), so the first that is present is the next one, however late it was committed. While
//! Kafka is away the outbox grows, and nothing else happens.

mod acks;
mod finality;
mod gone;
mod kept;
mod log;
mod lost_log;
mod monitor;
mod operator;
mod outbox;
mod partitioner;
mod pass;
mod pointers;
mod reader;
mod rows;
mod set_aside;
mod statements;
#[cfg(test)]
mod unreachable;

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use metrics::{counter, histogram};
use sqlx::PgPool;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use self::{
    acks::{Acks, Unnumbered},
    gone::Gone,
    log::{Ack, Log},
    lost_log::Acked,
    monitor::Monitor,
    pointers::Pointers,
    reader::{Next, Reader},
    rows::Place,
    set_aside::SetAside,
};
pub use self::{
    kept::Kept,
    operator::{MOST_COUNTED, Operator},
    outbox::{Outbox, Outgoing, Pointer},
};
use crate::{
    backoff::{Backoff, breathe, sleep},
    kafka,
    lease::{Elector, Lease},
    planted,
    traces::{self, SpanKind},
};

/// How many records one round publishes at most.
const BATCH: usize = 1000;
/// How long the relay rests when the outbox is empty: rows of other replicas wait this long.
const POLL: Duration = Duration::from_millis(100);
/// How long a round waits for acks. Records that take longer are set aside, with their partition, until they are acked or fail.
const PATIENCE: Duration = Duration::from_secs(1);

/// Publishes one outbox to one topic.
pub struct Relay<O> {
    pointers: Pointers,
    reader: Reader<O>,
    log: Arc<Log>,
    monitor: Monitor,
    nudge: Arc<Notify>,
    acked: Acked,
    unnumbered: Unnumbered,
    set_aside: SetAside,
    epoch: i64,
}

impl<O: Outbox> Relay<O> {
    /// A relay for the schema that `pool` sees as its own. `nudge` is notified after each local commit.
    pub fn new(pool: PgPool, outbox: O, kafka: kafka::Config, topic: String, nudge: Arc<Notify>) -> Result<Self> {
        let log = Arc::new(Log::new(kafka, topic)?);
        Ok(Self {
            pointers: Pointers::new(&pool),
            monitor: Monitor::new(pool, log.clone()),
            reader: Reader::new(Arc::new(outbox), log.clone()),
            log,
            nudge,
            acked: Acked::default(),
            unnumbered: Unnumbered::default(),
            set_aside: SetAside::default(),
            epoch: 0,
        })
    }

    /// Does not read back what writers keep here.
    #[must_use]
    pub fn with_kept(mut self, kept: Kept) -> Self {
        self.reader.kept = kept;
        self
    }

    /// Publishes for as long as this replica leads, until `stop`.
    pub async fn run(mut self, elector: Elector, stop: CancellationToken) {
        let monitor = self.monitor.clone();
        tokio::join!(monitor.run(&elector, &stop), self.keep_publishing(&elector, &stop));
        // Dropping a producer blocks for up to half a second.
        let _ = tokio::task::spawn_blocking(move || drop((self, monitor))).await;
    }

    async fn keep_publishing(&mut self, elector: &Elector, stop: &CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while let Some(lease) = self.lead(elector, stop).await {
            let started = Instant::now();
            match self.publish_next(lease).await {
                Ok(0) => self.rest(stop).await,
                Ok(published) => {
                    backoff.reset();
                    if published < BATCH {
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

    /// Waits until this replica leads. While it does not, nothing is kept for it.
    async fn lead(&self, elector: &Elector, stop: &CancellationToken) -> Option<Lease> {
        if !elector.leads() {
            self.reader.end_term();
        }
        elector.held(stop).await
    }

    async fn rest(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.nudge.notified() => {}
            () = sleep(POLL, stop) => {}
        }
    }

    /// One round: publishes the next record of each key. Returns how many records were acked; fails if some failed and none was acked.
    pub async fn publish_next(&mut self, lease: Lease) -> Result<usize> {
        self.begin_term(lease);
        self.set_aside.expire();
        let batch = self.reader.next(lease, BATCH, &mut self.pointers, &self.set_aside).await?;
        if batch.is_empty() && self.set_aside.is_empty() {
            return Ok(0);
        }
        if planted!("pointer-deleted-before-ack") {
            let deleted: Vec<_> = batch.iter().map(|(place, _)| (*place, Ok((0, -1)))).collect();
            self.settle(lease, &deleted).await?;
        }
        let results = self.publish(batch).await;
        let acked = self.settle(lease, &results).await?;
        let failures = results.into_iter().filter_map(|(place, ack)| Some((place.pointer.key, ack.err()?)));
        self.set_aside_failed(failures.collect(), acked)
    }

    /// What was sent in an earlier term may have gone to a log that is lost since, and an operator may have put its pointer back: its
    /// ack deletes nothing.
    fn begin_term(&mut self, lease: Lease) {
        if lease.epoch != self.epoch {
            self.set_aside.forget_unacked();
            self.reader.begin_term();
            self.epoch = lease.epoch;
        }
    }

    /// Sends every record at once and awaits acks for a bounded time. Acks of earlier rounds that came meanwhile are among the results.
    async fn publish(&mut self, batch: Vec<Next>) -> Vec<(Place, Ack)> {
        let (started, has_sent, old) = (Instant::now(), !batch.is_empty(), self.set_aside.unacked());
        let traceparents = batch.iter().filter_map(|(_, outgoing)| kafka::traceparent(&outgoing.headers));
        let span = traces::records(SpanKind::Producer, "send", self.log.topic(), traceparents);
        let mut results = Vec::with_capacity(batch.len());
        for (place, outgoing) in batch {
            match self.log.send(outgoing) {
                Ok(delivery) => self.set_aside.keep(place, delivery, &self.log),
                Err(failure) => results.push((place, Err(failure))),
            }
        }
        results.extend(self.set_aside.take_finished(old, started + PATIENCE, &self.log).await);
        if has_sent {
            let topic = self.log.topic().to_owned();
            histogram!("comanda_relay_publish_seconds", "topic" => topic).record(started.elapsed());
        }
        if let Some(mut span) = span
            && results.iter().any(|(_, ack)| ack.is_err())
        {
            span.fail("Kafka did not take every record");
        }
        results
    }

    /// Deletes what was acked and notes how far each partition got. An ack that is not above an earlier one shows that the log was lost.
    async fn settle(&mut self, lease: Lease, results: &[(Place, Ack)]) -> Result<usize> {
        let acks = Acks::of(results, &mut self.unnumbered);
        if acks.is_empty() {
            return Ok(0);
        }
        let is_lost = self.acked.shows_loss(&acks.reach);
        let (leads, was_lost) = self.pointers.forget(lease, &Gone::of(&acks.places), &acks.reach, is_lost).await?;
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
        if acked == 0 { Err(self.log.explain(failure.error)) } else { Ok(acked) }
    }
}
