//! The relay: publishes what a service's outbox points at, in version order per key, at least once.
//!
//! In: the outbox, filled by the statement that wrote the row. Out: records on the service's topic. Each round takes the lowest
//! version of each key, publishes them, awaits Kafka's acks and deletes exactly what was acked. There is no cursor: rows of one key
//! become visible in version order (each is written under compare-and-set), so the lowest present is the next one, whoever commits
//! late. Without Kafka the outbox grows and nothing else happens.

mod lost_log;
mod outbox;
mod pointers;

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use metrics::{counter, gauge, histogram};
use rdkafka::{
    ClientContext, Statistics,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, future_producer::OwnedDeliveryResult},
};
use sqlx::PgPool;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

pub use self::outbox::{Outbox, Outgoing};
use self::{
    lost_log::LostLog,
    pointers::{Acks, Pointers},
};
use crate::{
    backoff::{Backoff, breathe, sleep},
    kafka,
    lease::{Elector, Lease},
    planted,
    postgres::StoreError,
};

/// How many records one round publishes at most.
const BATCH: i64 = 1000;
/// How long the relay rests when the outbox is empty: rows of other replicas wait this long.
const POLL: Duration = Duration::from_millis(100);
/// How often the broker's log is compared with what it acknowledged.
const CHECK: Duration = Duration::from_secs(30);
/// How often the outbox is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// Quiet: librdkafka's own log goes to tracing.
struct Context;
impl ClientContext for Context {
    fn stats(&self, _: Statistics) {}
}

/// Publishes one outbox to one topic.
pub struct Relay<O> {
    pointers: Pointers,
    lost_log: LostLog,
    outbox: O,
    kafka: kafka::Config,
    topic: String,
    producer: FutureProducer<Context>,
    nudge: Arc<Notify>,
    checked: Option<Instant>,
    measured: Option<Instant>,
}

impl<O: Outbox> Relay<O> {
    /// A relay for the schema that `pool` sees as its own. `nudge` is notified after each local commit.
    pub fn new(pool: PgPool, outbox: O, kafka: kafka::Config, topic: String, nudge: Arc<Notify>) -> Result<Self> {
        let producer = kafka.producer().create_with_context(Context)?;
        let (pointers, lost_log) = (Pointers::new(&pool), LostLog::new(pool, topic.clone()));
        let (checked, measured) = (None, None);
        Ok(Self { pointers, lost_log, outbox, kafka, topic, producer, nudge, checked, measured })
    }

    /// Publishes for as long as this replica leads, until `stop`.
    pub async fn run(mut self, elector: Elector, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut epoch = 0;
        while let Some(lease) = elector.held(&stop).await {
            if lease.epoch != epoch {
                // A new term: look at the log before trusting it.
                (epoch, self.checked) = (lease.epoch, None);
            }
            let started = Instant::now();
            match self.round(lease).await {
                Ok(0) => self.rest(&stop).await,
                Ok(published) => {
                    backoff.reset();
                    if published < BATCH as usize {
                        breathe(started, published, &stop).await;
                    }
                }
                Err(error) => {
                    warn!(
                        topic = self.topic,
                        "a round of the relay failed; what is not acked and forgotten is published again: {error:#}"
                    );
                    backoff.wait(&stop).await;
                }
            }
        }
        // Dropping a producer blocks for up to half a second.
        let _ = tokio::task::spawn_blocking(move || drop(self.producer)).await;
    }

    async fn rest(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.nudge.notified() => {}
            () = sleep(POLL, stop) => {}
        }
    }

    async fn round(&mut self, lease: Lease) -> Result<usize> {
        // Before the check: it goes on while Kafka is away, which is when people look at it.
        if self.measured.is_none_or(|measured| measured.elapsed() > MEASURE) {
            self.measure().await?;
            self.measured = Some(Instant::now());
        }
        if self.checked.is_none_or(|checked| checked.elapsed() > CHECK) {
            self.lost_log.check(&self.producer, lease).await?;
            self.checked = Some(Instant::now());
        }
        self.publish_next(lease).await
    }

    /// One round: publishes the next version of each key. Returns how many records were acked; fails if there were some and none was.
    pub async fn publish_next(&mut self, lease: Lease) -> Result<usize> {
        let batch = self.outbox.next(BATCH).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let pointers: Vec<(Uuid, i64)> = batch.iter().map(|outgoing| (outgoing.key, outgoing.version)).collect();
        let started = Instant::now();
        if planted!("pointer-deleted-before-ack") {
            self.settle(lease, &pointers, &vec![Ok((0, -1)); pointers.len()]).await?;
        }
        let acks = self.publish(batch).await;
        histogram!("comanda_relay_publish_seconds", "topic" => self.topic.clone()).record(started.elapsed());
        let acked = self.settle(lease, &pointers, &acks).await?;
        counter!("comanda_relay_published_total", "topic" => self.topic.clone()).increment(acked as u64);
        match acks.into_iter().find_map(Result::err) {
            Some(error) if acked == 0 => {
                self.renew_producer_if_broken(&error)?;
                Err(explain(error))
            }
            _ => Ok(acked),
        }
    }

    /// Sends every record at once and awaits all acks: where each came to lie.
    async fn publish(&self, batch: Vec<Outgoing>) -> Vec<Result<(i32, i64), KafkaError>> {
        let sent: Vec<_> = batch.into_iter().map(|outgoing| self.send(outgoing)).collect();
        let mut acks = Vec::with_capacity(sent.len());
        for delivery in sent {
            acks.push(match delivery {
                Ok(delivery) => acked(delivery.await),
                Err(error) => Err(error),
            });
        }
        acks
    }

    fn send(&self, outgoing: Outgoing) -> Result<DeliveryFuture, KafkaError> {
        let key = outgoing.key.to_string();
        let mut record = FutureRecord::to(&self.topic).key(&key).payload(&outgoing.payload).headers(outgoing.headers);
        if planted!("record-without-key") {
            record.key = None;
        }
        self.producer.send_result(record).map_err(|(error, _)| error)
    }

    /// Deletes what was acked and notes how far each partition got. An ack that lies not above what an earlier one noted tells of a log
    /// that was lost.
    async fn settle(
        &mut self,
        lease: Lease,
        pointers: &[(Uuid, i64)],
        acks: &[Result<(i32, i64), KafkaError>],
    ) -> Result<usize> {
        let acks = Acks::of(pointers, acks);
        let known = self.lost_log.seen_in(&acks.reach);
        let (leads, lost) = self.pointers.forget(lease, &acks, known).await?;
        ensure!(leads, "the lease has a newer epoch than {}", lease.epoch);
        self.lost_log.noted(lost);
        self.pointers.vacuum_at_times().await;
        Ok(acks.keys.len())
    }

    async fn measure(&self) -> Result<(), StoreError> {
        let gauge = |name| gauge!(name, "topic" => self.topic.clone());
        gauge("comanda_outbox_depth").set(self.pointers.count().await? as f64);
        gauge("comanda_outbox_oldest_seconds").set(self.outbox.oldest_seconds().await?);
        Ok(())
    }

    fn renew_producer_if_broken(&mut self, error: &KafkaError) -> Result<()> {
        let fatal = self.producer.client().fatal_error().is_some();
        if fatal || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            warn!(topic = self.topic, "the producer is broken for good: making a new one");
            let broken = std::mem::replace(&mut self.producer, self.kafka.producer().create_with_context(Context)?);
            tokio::task::spawn_blocking(move || drop(broken));
        }
        Ok(())
    }
}

/// Where a record came to lie.
fn acked(delivery: Result<OwnedDeliveryResult, impl Sized>) -> Result<(i32, i64), KafkaError> {
    match delivery {
        Ok(Ok(delivery)) => Ok((delivery.partition, delivery.offset)),
        Ok(Err((error, _))) => Err(error),
        Err(_) => Err(KafkaError::Canceled),
    }
}

/// Says what to do where the topic is not there.
fn explain(error: KafkaError) -> anyhow::Error {
    use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
    match error.rdkafka_error_code() {
        Some(UnknownTopic | UnknownTopicOrPartition) => {
            anyhow::Error::new(error).context("there is no such topic, `comanda migrate` makes it")
        }
        _ => error.into(),
    }
}
