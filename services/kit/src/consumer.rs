//! A member of a consumer group that applies records in batches, at least once.
//!
//! In: the records of one topic. Out: calls of [`Handler::apply`], in partition order. Offsets are stored after the effect is
//! committed, so a crash repeats records and never skips one; the handler drops what it knows. The group's name carries the
//! topic's epoch: a log that was lost and made anew is read from its beginning, by a new group.

mod narrow;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use metrics::{counter, gauge, histogram};
use rdkafka::{
    ClientContext, Statistics,
    consumer::{Consumer as _, ConsumerContext, StreamConsumer},
};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::narrow::{Sink, apply_or_park};
use crate::{
    backoff::{Backoff, breathe, sleep},
    dead_letters,
    kafka::{self, Record},
    planted,
    postgres::StoreError,
};

/// How many records one batch holds at most.
const BATCH: usize = 500;
/// How often the topic's epoch and the consumer's progress are looked at.
const CHECK: Duration = Duration::from_secs(5);
/// A consumer with a lag that got nothing for so long is taken for stuck (fede1024/rust-rdkafka#638, #665) and made anew.
const STALL: Duration = Duration::from_secs(30);
/// How long its group may take to let a consumer go. Behind a join that the broker holds back, as when two replicas stop at the same
/// time, librdkafka waits 5 s and more for an answer; the broker notices by itself that a member is gone.
const LEAVE: Duration = Duration::from_secs(2);

/// What becomes of records.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Epoch of the topic's log, as its writer publishes it.
    async fn topic_epoch(&self) -> Result<i64, StoreError>;

    /// Commits the effect of a batch, dropping what is known already. A transient error is tried again for ever; another one narrows
    /// the batch down to the record that causes it, which becomes a dead letter.
    async fn apply(&self, topic_epoch: i64, records: &[Record]) -> Result<(), StoreError>;
}

/// Shares one topic with the other members of its group.
pub struct Consumer<H> {
    /// Name of the group, to which topic and epoch are added.
    pub group: &'static str,
    /// Full name of the topic.
    pub topic: String,
    /// Settings.
    pub kafka: kafka::Config,
    /// Where dead letters are stored.
    pub pool: PgPool,
    /// What becomes of them.
    pub handler: H,
}

impl<H: Handler> Consumer<H> {
    /// Consumes until `stop`. Waits for the topic and for the database, however long.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            if kafka::wait_for_topic(&self.kafka, &self.topic, &stop).await?.is_none() {
                break;
            }
            match self.handler.topic_epoch().await {
                Ok(epoch) => self.run_epoch(epoch, &stop).await?,
                Err(error) => {
                    warn!("waiting for the database: {error}");
                    sleep(Duration::from_secs(1), &stop).await;
                }
            }
        }
        Ok(())
    }

    async fn run_epoch(&self, epoch: i64, stop: &CancellationToken) -> Result<()> {
        let group = format!("{}-{}-e{epoch}", self.group, self.topic);
        let lag = Lag { topic: self.topic.clone(), total: Arc::default() };
        let total_lag = lag.total.clone();
        let consumer: StreamConsumer<Lag> = self.kafka.group_consumer(&group).create_with_context(lag)?;
        consumer.subscribe(&[&self.topic])?;
        self.consume(&consumer, epoch, &total_lag, stop).await;
        // Dropping a consumer blocks until its group has let it go.
        let leaving = tokio::task::spawn_blocking(move || drop(consumer));
        match tokio::time::timeout(LEAVE, leaving).await {
            Ok(left) => left?,
            Err(_) => info!(group, "the group has not let this consumer go in time: going on without its answer"),
        }
        Ok(())
    }

    /// Applies batches until `stop`, a new epoch or a stall.
    async fn consume(&self, consumer: &StreamConsumer<Lag>, epoch: i64, lag: &AtomicI64, stop: &CancellationToken) {
        let mut progress = Instant::now();
        let mut check = tokio::time::interval(CHECK);
        loop {
            tokio::select! {
                batch = next_batch(consumer) => {
                    progress = Instant::now();
                    if planted!("offset-before-effect") {
                        store_offsets(consumer, &batch);
                    }
                    if !self.apply(epoch, &batch, stop).await {
                        return;
                    }
                    store_offsets(consumer, &batch);
                    if batch.len() < BATCH {
                        breathe(progress, batch.len(), stop).await;
                    }
                }
                _ = check.tick() => {
                    if self.epoch_changed(epoch).await || stalled(progress, lag) {
                        return;
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    async fn epoch_changed(&self, epoch: i64) -> bool {
        let now = self.handler.topic_epoch().await.unwrap_or(epoch);
        if now != epoch {
            info!(topic = self.topic, epoch = now, "the topic has a new log: reading it from its beginning");
        }
        now != epoch
    }

    /// Applies a batch whatever it takes. False when told to stop before it was.
    async fn apply(&self, epoch: i64, batch: &[Record], stop: &CancellationToken) -> bool {
        let started = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let (mut waiting, sink) = (vec![batch], OfEpoch { consumer: self, epoch });
        while let Err(error) = apply_or_park(&sink, &mut waiting).await {
            warn!(topic = self.topic, "a batch waits: {error}");
            backoff.wait(stop).await;
            if stop.is_cancelled() {
                return false;
            }
        }
        histogram!("comanda_consumer_batch_size", "group" => self.group).record(batch.len() as f64);
        histogram!("comanda_consumer_apply_seconds", "group" => self.group).record(started.elapsed());
        true
    }
}

/// Where the records of a log go.
struct OfEpoch<'a, H> {
    consumer: &'a Consumer<H>,
    epoch: i64,
}

#[async_trait]
impl<H: Handler> Sink for OfEpoch<'_, H> {
    async fn apply(&self, records: &[Record]) -> Result<(), StoreError> {
        self.consumer.handler.apply(self.epoch, records).await
    }

    async fn store_dead_letter(&self, record: &Record, reason: &str) -> Result<(), StoreError> {
        dead_letters::store(&self.consumer.pool, self.epoch, record, reason).await
    }
}

/// At least one record, and whatever else is already here.
async fn next_batch<C: ConsumerContext + 'static>(consumer: &StreamConsumer<C>) -> Vec<Record> {
    let mut stream = consumer.stream();
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        let next = if batch.is_empty() { stream.next().await } else { stream.next().now_or_never().flatten() };
        match next {
            Some(Ok(message)) => batch.push(Record::copy(&message)),
            Some(Err(error)) => {
                counter!("comanda_consumer_errors_total").increment(1);
                warn!("Kafka: {error}");
                // Whoever drops this future while it waits must not drop records that the consumer has handed out.
                if !batch.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            None => break,
        }
    }
    batch
}

fn store_offsets<C: ConsumerContext>(consumer: &StreamConsumer<C>, batch: &[Record]) {
    let last: HashMap<i32, &Record> = batch.iter().map(|record| (record.partition, record)).collect();
    for record in last.into_values() {
        if let Err(error) = consumer.store_offset(&record.topic, record.partition, record.offset) {
            // The partition has moved to another member, which will read these records again and drop them.
            info!(partition = record.partition, "offset not stored: {error}");
        }
    }
}

fn stalled(progress: Instant, lag: &AtomicI64) -> bool {
    let stalled = progress.elapsed() > STALL && lag.load(Relaxed) > 0;
    if stalled {
        counter!("comanda_consumer_stalls_total").increment(1);
        warn!("the consumer has a lag and gets nothing: making a new one");
    }
    stalled
}

/// Keeps the lag that librdkafka reports.
struct Lag {
    topic: String,
    total: Arc<AtomicI64>,
}

impl ClientContext for Lag {
    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.get(&self.topic).map(|topic| &topic.partitions);
        let total = partitions.into_iter().flatten().map(|(_, partition)| partition.consumer_lag.max(0)).sum();
        self.total.store(total, Relaxed);
        gauge!("comanda_consumer_lag", "topic" => self.topic.clone()).set(total as f64);
    }
}

impl ConsumerContext for Lag {}
