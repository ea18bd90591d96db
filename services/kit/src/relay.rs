//! The relay: publishes what a service's outbox points at, in version order per key, at least once.
//!
//! In: the outbox, filled by the statement that wrote the row. Out: records on the service's topic. Each round takes the lowest
//! version of each key, publishes them, awaits Kafka's acks and deletes exactly what was acked. There is no cursor: rows of one key
//! become visible in version order (each is written under compare-and-set), so the lowest present is the next one, whoever commits
//! late. Without Kafka the outbox grows and nothing else happens.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use metrics::{counter, gauge, histogram};
use rdkafka::{
    ClientContext, Statistics,
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedHeaders,
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, future_producer::OwnedDeliveryResult},
};
use sqlx::PgPool;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::{
    backoff::{Backoff, breathe, sleep},
    kafka,
    lease::{Keeper, Lease},
    planted,
    postgres::{Problem, bounded},
    sticky::{Commit, Sticky},
};

/// How many records one round publishes at most.
const BATCH: i64 = 1000;
/// How long the relay rests when the outbox is empty: rows of other replicas wait this long.
const POLL: Duration = Duration::from_millis(100);
/// How often the broker's log is compared with what it acknowledged.
const CHECK: Duration = Duration::from_secs(30);
/// How often the outbox is measured.
const MEASURE: Duration = Duration::from_secs(5);
/// After how many deletes the outbox is vacuumed: an index is scanned from the end where its dead entries lie.
const DELETES_PER_VACUUM: u64 = 50_000;

/// A record to publish, and the row of the outbox that points at it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Outgoing {
    pub key: Uuid,
    pub version: i64,
    pub headers: OwnedHeaders,
    pub payload: Vec<u8>,
}

/// Where a service's outgoing records come from.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The lowest unpublished version of each key, at most `limit`, with what to publish.
    async fn next(&self, limit: i64) -> Result<Vec<Outgoing>, Problem>;

    /// For how many seconds the pointer that goes first has waited; 0 where there is none.
    async fn oldest_seconds(&self) -> Result<f64, Problem>;
}

/// Quiet: librdkafka's own log goes to tracing.
struct Context;
impl ClientContext for Context {
    fn stats(&self, _: Statistics) {}
}

/// Publishes one outbox to one topic.
pub struct Relay<O> {
    pool: PgPool,
    /// Relaxed: a delete that a crash undoes is followed by one more repetition.
    sticky: Sticky,
    outbox: O,
    kafka: kafka::Config,
    topic: String,
    producer: FutureProducer<Context>,
    nudge: Arc<Notify>,
    /// How far each partition got by the acks this relay saw, also those it could not note.
    seen: BTreeMap<i32, i64>,
    /// Whether an ack told of a lost log, and the database does not know yet.
    lost: bool,
    deletes: u64,
    checked: Option<Instant>,
    measured: Option<Instant>,
}

impl<O: Outbox> Relay<O> {
    /// A relay for the schema that `pool` sees as its own. `nudge` is notified after each local commit.
    pub fn new(pool: PgPool, outbox: O, kafka: kafka::Config, topic: String, nudge: Arc<Notify>) -> Result<Self> {
        let producer = kafka.producer().create_with_context(Context)?;
        let (sticky, seen) = (Sticky::new(&pool, Commit::Relaxed), BTreeMap::new());
        Ok(Self {
            pool,
            sticky,
            outbox,
            kafka,
            topic,
            producer,
            nudge,
            seen,
            lost: false,
            deletes: 0,
            checked: None,
            measured: None,
        })
    }

    /// Publishes for as long as this replica leads, until `stop`.
    pub async fn run(mut self, keeper: Keeper, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut epoch = 0;
        while let Some(lease) = keeper.held(&stop).await {
            if lease.epoch != epoch {
                // A new reign: look at the log before trusting it.
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
                Err(problem) => {
                    warn!(
                        topic = self.topic,
                        "a round of the relay failed; what is not acked and forgotten is published again: {problem:#}"
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
            self.check(lease).await?;
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
            Some(problem) if acked == 0 => {
                self.renew_producer_if_broken(&problem)?;
                Err(explain(problem))
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
                Err(problem) => Err(problem),
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
        self.producer.send_result(record).map_err(|(problem, _)| problem)
    }

    /// Deletes what was acked and notes how far each partition got. An ack that lies not above what an earlier one noted tells of a log
    /// that was lost.
    async fn settle(
        &mut self,
        lease: Lease,
        pointers: &[(Uuid, i64)],
        acks: &[Result<(i32, i64), KafkaError>],
    ) -> Result<usize> {
        let (mut keys, mut versions, mut reach) = (Vec::new(), Vec::new(), BTreeMap::<i32, (i64, i64)>::new());
        for (&(key, version), ack) in pointers.iter().zip(acks) {
            let Ok((partition, offset)) = *ack else { continue };
            keys.push(key);
            versions.push(version);
            // A repeated send that the broker had already is acked without an offset.
            if offset >= 0 {
                let (low, high) = reach.entry(partition).or_insert((offset, offset));
                (*low, *high) = ((*low).min(offset), (*high).max(offset));
            }
        }
        self.look_back(&reach);
        let (leads, lost) = self.forget(lease, &keys, &versions, &reach).await?;
        ensure!(leads, "the lease has a newer epoch than {}", lease.epoch);
        self.lost = false;
        if lost {
            self.tell_of_lost_log();
        }
        self.deletes += keys.len() as u64;
        if self.deletes >= DELETES_PER_VACUUM {
            self.deletes = 0;
            self.vacuum().await;
        }
        Ok(keys.len())
    }

    /// Compares acks with those before them. The database compares too, but only what could be noted: a relay that publishes while
    /// its lease is renewed or the database is away may carry a new log past the noted end of the old one.
    fn look_back(&mut self, reach: &BTreeMap<i32, (i64, i64)>) {
        let fell = reach.iter().any(|(partition, (low, _))| self.seen.get(partition).is_some_and(|seen| low <= seen));
        if fell {
            self.seen.clear();
        }
        self.lost |= fell;
        self.seen.extend(reach.iter().map(|(&partition, &(_, high))| (partition, high)));
    }

    /// The one statement of [`Relay::settle`]: whether we still lead (else it did nothing), and whether a log was lost.
    ///
    /// Rows are looked up one by one and deleted by their place. As a join it went wrong: an outbox that was vacuumed while it was empty
    /// counts as empty for the planner, however much it holds, and was read whole for each row of the batch.
    async fn forget(
        &self,
        lease: Lease,
        keys: &[Uuid],
        versions: &[i64],
        reach: &BTreeMap<i32, (i64, i64)>,
    ) -> Result<(bool, bool), Problem> {
        let partitions: Vec<i32> = reach.keys().copied().collect();
        let (lows, highs): (Vec<i64>, Vec<i64>) = reach.values().copied().unzip();
        let mut connection = self.sticky.take().await?;
        let result = bounded(
            sqlx::query_as(
                "WITH reign AS MATERIALIZED (
                     SELECT FROM lease WHERE epoch = $1 FOR SHARE
                 ), acked AS (
                     SELECT * FROM unnest($4::int[], $5::bigint[], $6::bigint[]) AS a (partition, low, high)
                 ), lost AS MATERIALIZED (
                     SELECT FROM reign
                     WHERE $7 OR EXISTS (SELECT FROM acked a JOIN topic_offsets t ON t.partition = a.partition
                                         WHERE a.low <= t.acked_offset)
                 ), published AS (
                     DELETE FROM outbox
                     WHERE EXISTS (SELECT FROM reign) AND ctid = ANY (ARRAY(
                         SELECT (SELECT o.ctid FROM outbox o WHERE o.order_id = p.order_id AND o.version = p.version)
                         FROM unnest($2::uuid[], $3::bigint[]) AS p (order_id, version)))
                 ), noted AS (
                     INSERT INTO topic_offsets (partition, acked_offset)
                     SELECT partition, high FROM acked WHERE EXISTS (SELECT FROM reign)
                     ON CONFLICT (partition) DO UPDATE SET acked_offset = excluded.acked_offset
                 ), stale AS (
                     DELETE FROM topic_offsets WHERE partition <> ALL ($4) AND EXISTS (SELECT FROM lost)
                 ), renewed AS (
                     UPDATE topic_log SET topic_epoch = topic_epoch + 1 WHERE EXISTS (SELECT FROM lost)
                 )
                 SELECT EXISTS (SELECT FROM reign), EXISTS (SELECT FROM lost)",
            )
            .bind(lease.epoch)
            .bind(keys)
            .bind(versions)
            .bind(partitions)
            .bind(lows)
            .bind(highs)
            .bind(self.lost)
            .fetch_one(&mut *connection),
        )
        .await;
        connection.end(result)
    }

    fn renew_producer_if_broken(&mut self, problem: &KafkaError) -> Result<()> {
        let fatal = self.producer.client().fatal_error().is_some();
        if fatal || problem.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            warn!(topic = self.topic, "the producer is broken for good: making a new one");
            let broken = std::mem::replace(&mut self.producer, self.kafka.producer().create_with_context(Context)?);
            tokio::task::spawn_blocking(move || drop(broken));
        }
        Ok(())
    }

    /// Compares the broker's log with what it acknowledged.
    async fn check(&self, lease: Lease) -> Result<()> {
        let (producer, topic) = (self.producer.clone(), self.topic.clone());
        let ends = tokio::task::spawn_blocking(move || kafka::watermarks(producer.client(), &topic)).await?;
        let ends = ends.map_err(explain)?;
        let (partitions, ends): (Vec<i32>, Vec<i64>) =
            ends.into_iter().map(|(partition, (_, end))| (partition, end)).unzip();
        let lost = bounded(
            sqlx::query_scalar(
                "WITH reign AS MATERIALIZED (
                     SELECT FROM lease WHERE epoch = $1 FOR SHARE
                 ), lost AS MATERIALIZED (
                     SELECT FROM unnest($2::int[], $3::bigint[]) AS b (partition, log_end)
                     JOIN topic_offsets t ON t.partition = b.partition
                     WHERE b.log_end <= t.acked_offset AND EXISTS (SELECT FROM reign)
                 ), stale AS (
                     DELETE FROM topic_offsets WHERE EXISTS (SELECT FROM lost)
                 ), renewed AS (
                     UPDATE topic_log SET topic_epoch = topic_epoch + 1 WHERE EXISTS (SELECT FROM lost)
                 )
                 SELECT EXISTS (SELECT FROM lost)",
            )
            .bind(lease.epoch)
            .bind(partitions)
            .bind(ends)
            .fetch_one(&self.pool),
        )
        .await?;
        if lost {
            self.tell_of_lost_log();
        }
        Ok(())
    }

    fn tell_of_lost_log(&self) {
        counter!("comanda_lost_logs_total", "topic" => self.topic.clone()).increment(1);
        error!(
            topic = self.topic,
            "KAFKA LOST THE LOG OF THIS TOPIC (deleted, re-created or cut off). No order is lost: run `comanda republish --all`. \
             Consumers start at the beginning of the new log."
        );
    }

    async fn measure(&self) -> Result<(), Problem> {
        let depth: i64 = bounded(sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&self.pool)).await?;
        gauge!("comanda_outbox_depth", "topic" => self.topic.clone()).set(depth as f64);
        let oldest_seconds = self.outbox.oldest_seconds().await?;
        gauge!("comanda_outbox_oldest_seconds", "topic" => self.topic.clone()).set(oldest_seconds);
        Ok(())
    }

    async fn vacuum(&self) {
        if let Err(problem) = bounded(sqlx::query("VACUUM outbox").execute(&self.pool)).await {
            warn!("the outbox was not vacuumed: {problem}");
        }
    }
}

/// Where a record came to lie.
fn acked(delivery: Result<OwnedDeliveryResult, impl Sized>) -> Result<(i32, i64), KafkaError> {
    match delivery {
        Ok(Ok(delivery)) => Ok((delivery.partition, delivery.offset)),
        Ok(Err((problem, _))) => Err(problem),
        Err(_) => Err(KafkaError::Canceled),
    }
}

/// Says what to do where the topic is not there.
fn explain(problem: KafkaError) -> anyhow::Error {
    use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
    match problem.rdkafka_error_code() {
        Some(UnknownTopic | UnknownTopicOrPartition) => {
            anyhow::Error::new(problem).context("there is no such topic, `comanda migrate` makes it")
        }
        _ => problem.into(),
    }
}
