//! A member of a consumer group that applies records in batches, at least once.
//!
//! In: the records of one topic. Out: calls of [`Handler::apply`], in partition order. Offsets are stored after the effect is
//! committed, so a crash repeats records and never skips one; the handler drops what it knows. The group's name carries the epoch of the
//! topic's log: a log that replaces a lost one is read from its beginning, by a new group.
//!
//! Partitions that the topic gets are assigned and read from their beginning after `topic.metadata.refresh.interval.ms`. A member that
//! applies one batch for longer than `max.poll.interval.ms`, as while the database is down, loses its partitions and joins again with
//! its next poll; another member reads its uncommitted records again.

pub mod log;
pub mod narrow;

use std::{
    collections::HashMap,
    pin::pin,
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
    config::RDKafkaLogLevel,
    consumer::{Consumer as _, ConsumerContext, StreamConsumer},
    error::KafkaError,
};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    log::{Log, replaced, wait_for_log},
    narrow::{Sink, apply_or_set_aside},
};
use crate::{
    backoff::{Backoff, breathe},
    dead_letters,
    kafka::{self, Context, Record},
    planted,
    postgres::StoreError,
    traces::{self, SpanKind},
};

/// How many records one batch holds at most.
const BATCH: usize = 500;
/// How often the topic's epoch and the consumer's progress are looked at.
const CHECK: Duration = Duration::from_secs(5);
/// A consumer with a lag that got nothing for this long is stuck (fede1024/rust-rdkafka#638, #665) and is replaced.
const STALL: Duration = Duration::from_secs(30);
/// How long a consumer may take to leave its group. When two replicas stop at the same time, the broker may hold back a join, and
/// librdkafka waits 5 s or more for its answer; the broker notices by itself that a member has gone.
const LEAVE: Duration = Duration::from_secs(2);

/// What is done with records.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Epoch of the topic's log, as its writer publishes it.
    async fn topic_epoch(&self) -> Result<i64, StoreError>;

    /// Commits the effect of a batch, dropping what is already known. A transient error is retried without end; another error narrows the
    /// batch down to the record that causes it, which becomes a dead letter.
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
    /// What is done with the records.
    pub handler: H,
}

impl<H: Handler> Consumer<H> {
    /// Consumes until `stop`. Waits for the topic and for the database, however long.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        while let Some(log) = wait_for_log(&self.kafka, &self.topic, || self.handler.topic_epoch(), &stop).await? {
            self.consume_log(log, &stop).await?;
        }
        Ok(())
    }

    async fn consume_log(&self, Log { epoch, .. }: Log, stop: &CancellationToken) -> Result<()> {
        let group = format!("{}-{}-e{epoch}", self.group, self.topic);
        let settings = self.kafka.group_consumer(&group);
        let lag = Lag { topic: self.topic.clone(), total: Arc::default(), context: Context::of(&settings) };
        let total_lag = lag.total.clone();
        let consumer: StreamConsumer<Lag> = settings.create_with_context(lag)?;
        consumer.subscribe(&[&self.topic])?;
        self.consume(&consumer, epoch, &total_lag, stop).await;
        // Dropping a consumer blocks until it has left its group.
        let leaving = tokio::task::spawn_blocking(move || drop(consumer));
        match tokio::time::timeout(LEAVE, leaving).await {
            Ok(left) => left?,
            Err(_) => info!(group, "the broker has not confirmed in time that this consumer left the group"),
        }
        Ok(())
    }

    /// Applies batches until `stop`, a new epoch or a stall.
    async fn consume(&self, consumer: &StreamConsumer<Lag>, epoch: i64, lag: &AtomicI64, stop: &CancellationToken) {
        let mut progress = Instant::now();
        let mut check = tokio::time::interval(CHECK);
        let mut replaced = pin!(replaced(&self.topic, epoch, || self.handler.topic_epoch(), CHECK));
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
                    if stalled(progress, lag) {
                        return;
                    }
                }
                () = &mut replaced => return,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Applies a batch, however often it must be tried. False if the stop came first.
    async fn apply(&self, epoch: i64, batch: &[Record], stop: &CancellationToken) -> bool {
        let started = Instant::now();
        let traceparents = batch.iter().filter_map(|record| record.traceparent.as_deref());
        let mut span = traces::records(SpanKind::Consumer, "process", &self.topic, traceparents);
        span.iter_mut().for_each(|span| span.set("messaging.consumer.group.name", self.group));
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let (mut waiting, sink) = (vec![batch], OfEpoch { consumer: self, epoch });
        while let Err(error) = apply_or_set_aside(&sink, &mut waiting).await {
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
async fn next_batch(consumer: &StreamConsumer<Lag>) -> Vec<Record> {
    let mut stream = consumer.stream();
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        let next = if batch.is_empty() { stream.next().await } else { stream.next().now_or_never().flatten() };
        match next {
            Some(Ok(message)) => batch.push(Record::copy(&message)),
            Some(Err(error)) => {
                let Lag { topic, context, .. } = &**consumer.context();
                context.report(&error, topic);
                // This future may be dropped while it waits, and records that the consumer has handed out with it.
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

fn store_offsets(consumer: &StreamConsumer<Lag>, batch: &[Record]) {
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
        warn!("the consumer has a lag and gets nothing: replacing it");
    }
    stalled
}

/// Keeps the lag that librdkafka reports.
struct Lag {
    topic: String,
    total: Arc<AtomicI64>,
    context: Context,
}

impl ClientContext for Lag {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.get(&self.topic).map(|topic| &topic.partitions);
        let total = partitions.into_iter().flatten().map(|(_, partition)| partition.consumer_lag.max(0)).sum();
        self.total.store(total, Relaxed);
        gauge!("comanda_consumer_lag", "topic" => self.topic.clone()).set(total as f64);
    }
}

impl ConsumerContext for Lag {}
