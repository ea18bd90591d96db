//! Reads the whole topic of transitions into the hub.
//!
//! Every replica reads every partition, outside any group and without commits, so that any replica serves any stream. Reading begins so
//! far back that the ring is full again; the hub is complete once the end that was found at the start is reached. A new epoch of the
//! topic's log begins again with the new log. Partitions that the topic gets are read from their beginning.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use anyhow::Result;
use comanda_kit::{
    backoff::{Backoff, sleep},
    consumer::log::{Log, replaced, wait_for_log},
    kafka::{self, Context, Record, Watermarks},
    traces::{self, SpanKind},
};
use metrics::counter;
use rdkafka::{
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    broker::Broker, event::Event, hub::Hub, ring::Limits, store::Store, token::Offsets, undecodable::Undecodable,
};

/// How often progress is looked at.
const CHECK: Duration = Duration::from_secs(5);
/// A consumer that got nothing for so long though there is something is stuck (fede1024/rust-rdkafka#638, #665).
const STALL: Duration = Duration::from_secs(30);

/// Reads the topic.
pub struct Reader {
    /// Where transitions go.
    pub hub: Arc<Hub>,
    /// What to do with records that cannot be read.
    pub undecodable: Undecodable,
    /// Where the topic begins and ends.
    pub broker: Broker,
    /// Settings.
    pub kafka: kafka::Config,
    /// Full name of the topic.
    pub topic: String,
    /// What the ring may hold.
    pub limits: Limits,
    /// Whether the ring is filled from the topic's beginning: for a broker that cannot look up a time.
    pub from_beginning: bool,
    /// How often the number of partitions is looked at.
    pub partitions_interval: Duration,
    /// Knows the epoch of the topic's log.
    pub store: Arc<Store>,
    /// How often the epoch is looked at.
    pub epoch_interval: Duration,
}

impl Reader {
    /// Reads until the stop, whatever happens to the broker or the database.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut begun = None;
        while let Some(log) = wait_for_log(&self.kafka, &self.topic, || self.store.topic_epoch(), &stop).await? {
            match self.read_log(log, &mut begun, &stop).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    warn!(topic = self.topic, "the topic cannot be read: {error:#}");
                    backoff.wait(&stop).await;
                }
            }
        }
        Ok(())
    }

    /// Reads one log until there is another one, the topic has more partitions, or the consumer is stuck. `begun` is the epoch that
    /// reading began in last.
    async fn read_log(&self, log: Log, begun: &mut Option<i64>, stop: &CancellationToken) -> Result<()> {
        let Log { epoch, watermarks } = log;
        let is_new_log = begun.is_some_and(|begun| begun != epoch);
        let start = match self.hub.read(epoch).filter(|read| read.count() <= watermarks.len()) {
            Some(read) => self.resume(read, &watermarks),
            None => self.begin(epoch, is_new_log, &watermarks).await?,
        };
        *begun = Some(epoch);
        let settings = self.kafka.free_consumer().set("enable.partition.eof", "true").clone();
        let consumer: TopicConsumer = kafka::open(&settings)?;
        consumer.assign(&kafka::assignment(&self.topic, &start.iter().collect())?)?;
        info!(topic = self.topic, epoch, partitions = start.count(), "reading the topic");
        let missing = Missing::new(&start, &watermarks);
        self.read(&consumer, epoch, missing, stop).await;
        // Dropping a consumer blocks.
        tokio::task::spawn_blocking(move || drop(consumer)).await?;
        Ok(())
    }

    /// Continues where reading ended, and begins with the partitions that were added.
    fn resume(&self, read: Offsets, watermarks: &Watermarks) -> Offsets {
        if read.count() == watermarks.len() {
            return read;
        }
        warn!(topic = self.topic, partitions = watermarks.len(), "the topic has more partitions: reading them, too");
        let known = read.count();
        let start = Offsets::new(watermarks.iter().map(|(partition, (low, _))| {
            if usize::try_from(*partition).is_ok_and(|index| index < known) { read.at(*partition) } else { *low }
        }));
        self.hub.add_partitions(&start);
        start
    }

    /// Begins a log in the hub, so far back that the ring is filled.
    async fn begin(&self, epoch: i64, is_new_log: bool, watermarks: &Watermarks) -> Result<Offsets> {
        let aged = if self.from_beginning || is_new_log {
            watermarks.iter().map(|(partition, (low, _))| (*partition, *low)).collect()
        } else {
            self.broker.offsets_of_age(watermarks.keys().copied().collect(), self.limits.age).await?
        };
        let start = refill_from(&aged, watermarks, self.limits.count);
        self.hub.begin(epoch, start.clone());
        Ok(start)
    }

    async fn read(&self, consumer: &TopicConsumer, epoch: i64, mut missing: Missing, stop: &CancellationToken) {
        let mut progress = Instant::now();
        let mut check = tokio::time::interval(CHECK);
        let mut replaced = pin!(replaced(&self.topic, epoch, || self.store.topic_epoch(), self.epoch_interval));
        let mut added = pin!(self.partitions_added(epoch));
        if missing.is_empty() {
            self.hub.complete();
        }
        loop {
            tokio::select! {
                next = consumer.recv() => {
                    if next.is_ok() {
                        progress = Instant::now();
                    }
                    if self.accept(consumer, next, &mut missing, stop).await {
                        info!(topic = self.topic, epoch, "the topic was read to its end");
                        self.hub.complete();
                    }
                }
                _ = check.tick() => {
                    if progress.elapsed() > STALL {
                        if self.is_stuck(epoch).await {
                            return;
                        }
                        progress = Instant::now();
                    }
                }
                () = &mut added => return,
                () = &mut replaced => return self.hub.close(),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes in what the consumer gave; tells whether with it the last missing end was reached.
    async fn accept(
        &self,
        consumer: &TopicConsumer,
        next: Result<BorrowedMessage<'_>, KafkaError>,
        missing: &mut Missing,
        stop: &CancellationToken,
    ) -> bool {
        match next.map(|message| Record::copy(&message)) {
            Ok(record) => {
                // What lay on the topic before reading began was pushed already, by an earlier process or another one.
                let traceparent = record.traceparent.as_deref().filter(|_| missing.is_empty());
                let _span = traces::records(SpanKind::Consumer, "push", &self.topic, traceparent);
                self.handle(&record).await;
                missing.pass(record.partition, record.offset + 1)
            }
            Err(KafkaError::PartitionEOF(partition)) => missing.pass(partition, i64::MAX),
            Err(error) => {
                consumer.context().report(&error, &self.topic);
                sleep(Duration::from_millis(200), stop).await;
                false
            }
        }
    }

    async fn handle(&self, record: &Record) {
        match Event::decode(record) {
            Some(event) => self.hub.publish(event),
            None => self.undecodable.handle(record).await,
        }
    }

    /// Waits until the topic has more partitions than are read.
    async fn partitions_added(&self, epoch: i64) {
        loop {
            tokio::time::sleep(self.partitions_interval).await;
            let (found, read) = (self.broker.partitions().await, self.hub.read(epoch));
            match (found, read) {
                (Ok(found), Some(read)) if found > read.count() => return,
                (Err(error), _) => warn!(topic = self.topic, "the number of partitions is not known: {error:#}"),
                _ => {}
            }
        }
    }

    /// Whether the broker has something that the consumer does not bring.
    async fn is_stuck(&self, epoch: i64) -> bool {
        let Ok(watermarks) = self.broker.watermarks().await else { return false };
        let ends = Offsets::new(watermarks.into_values().map(|(_, end)| end));
        let stuck = self.hub.read(epoch).is_some_and(|read| ends.exceeds(&read));
        if stuck {
            counter!("comanda_watch_feed_stalls_total").increment(1);
            warn!(topic = self.topic, "the topic has more than the consumer brings: making a new consumer");
        }
        stuck
    }
}

/// A consumer of a whole topic.
pub(super) type TopicConsumer = StreamConsumer<Context>;

/// Where to begin, so that everything of the age asked for is read, but not more than the ring can hold.
fn refill_from(aged: &BTreeMap<i32, i64>, watermarks: &Watermarks, max: usize) -> Offsets {
    let share = (max / watermarks.len().max(1)) as i64;
    Offsets::new(watermarks.iter().map(|(partition, (low, end))| {
        let wanted = aged.get(partition).copied().unwrap_or(*end);
        wanted.max(end - share).clamp(*low, *end)
    }))
}

/// The ends that are still to be reached.
struct Missing(BTreeMap<i32, i64>);

impl Missing {
    fn new(start: &Offsets, watermarks: &Watermarks) -> Self {
        let ends = watermarks.iter().map(|(partition, (_, end))| (*partition, *end));
        Self(ends.filter(|(partition, end)| start.at(*partition) < *end).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes how far a partition was read; tells whether that was the last end missing.
    fn pass(&mut self, partition: i32, next: i64) -> bool {
        let reached = self.0.get(&partition).is_some_and(|end| next >= *end);
        reached && self.0.remove(&partition).is_some() && self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_refilled_by_age_but_not_beyond_what_it_holds() {
        let watermarks = Watermarks::from([(0, (0, 100)), (1, (40, 100)), (2, (0, 100)), (3, (0, 0))]);
        let aged = BTreeMap::from([(0, 90), (1, 10), (2, 30)]);
        assert_eq!(refill_from(&aged, &watermarks, 400), Offsets::new([90, 40, 30, 0]));
        assert_eq!(refill_from(&aged, &watermarks, 80), Offsets::new([90, 80, 80, 0]));
        assert_eq!(refill_from(&BTreeMap::new(), &watermarks, 80), Offsets::new([100, 100, 100, 0]));
    }

    #[test]
    fn every_end_must_be_reached_once() {
        let watermarks = Watermarks::from([(0, (0, 2)), (1, (0, 1)), (2, (0, 0))]);
        let mut missing = Missing::new(&Offsets::new([0, 0, 0]), &watermarks);
        assert!(!missing.pass(0, 1));
        assert!(!missing.pass(2, i64::MAX));
        assert!(!missing.pass(0, 2));
        assert!(missing.pass(1, i64::MAX));
        assert!(!missing.pass(1, 5), "told once");
        assert!(Missing::new(&Offsets::new([2, 1, 0]), &watermarks).is_empty());
    }
}
