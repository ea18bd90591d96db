//! Reads a topic while this replica leads: every partition, outside any group, from the offsets that the database has.
//!
//! Another epoch of the topic's log is read from its beginning. Partitions that the topic gets are read from their beginning.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use anyhow::Result;
use comanda_kit::{
    backoff::{Backoff, sleep},
    consumer::{
        log::{Log, replaced, wait_for_log},
        narrow::apply_or_set_aside,
    },
    kafka::{self, Context, Record, Watermarks},
    lease::{Elector, Lease},
    postgres::StoreError,
};
use futures::{FutureExt, StreamExt};
use metrics::{counter, gauge, histogram};
use rdkafka::consumer::{Consumer, StreamConsumer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{event::Topic, folder::Folder, store::Store};

/// How many records one transaction counts at most.
const BATCH: usize = 5000;
/// How long a round lasts at least: each has its price for the database, and nobody waits for a report to be younger.
const ROUND: Duration = Duration::from_millis(250);
/// How long to wait before reading begins again: whether another replica leads may not be known here yet.
const PAUSE: Duration = Duration::from_millis(200);
/// How often the ends of the topic and its epoch are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// A consumer that got nothing for so long though there is something is stuck (fede1024/rust-rdkafka#638, #665).
const STALL: Duration = Duration::from_secs(30);

/// Reads one topic.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Where is counted.
    pub store: Store,
    /// Settings.
    pub kafka: kafka::Config,
    /// Which topic.
    pub topic: Topic,
}

impl Reader {
    /// Reads while this replica leads, until the stop, whatever happens to the broker or the database.
    pub async fn run(self, elector: Elector, stop: CancellationToken) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        while let Some(lease) = elector.held(&stop).await {
            match self.read_while(lease, &stop).await {
                Ok(()) => {
                    backoff.reset();
                    sleep(PAUSE, &stop).await;
                }
                Err(error) => {
                    warn!(topic = self.topic.name(), "the topic cannot be counted: {error:#}");
                    backoff.wait(&stop).await;
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.kafka.topic(self.topic.name())
    }

    async fn epoch(&self) -> Result<i64, StoreError> {
        self.store.topic_epoch(self.topic).await
    }

    async fn read_while(&self, lease: Lease, stop: &CancellationToken) -> Result<()> {
        let (leading, name) = (until_over(lease, stop), self.name());
        let waiting = wait_for_log(&self.kafka, &name, || self.epoch(), stop);
        let log = tokio::select! { log = waiting => log?, () = leading => None };
        let Some(Log { epoch, watermarks }) = log else { return Ok(()) };
        let starts = self.starts(epoch, &watermarks).await?;
        if !self.store.begin_log(lease.epoch, self.topic, epoch, &starts).await? {
            return Ok(());
        }
        let consumer: StreamConsumer<Context> = kafka::open(&self.kafka.free_consumer())?;
        consumer.assign(&kafka::assignment(&name, &starts)?)?;
        info!(topic = self.topic.name(), epoch, partitions = starts.len(), "counting the topic");
        let folder = Folder::new(self.store.clone(), self.topic, epoch, lease.epoch);
        let consumer = Arc::new(consumer);
        Reading { reader: self, consumer: consumer.clone(), folder, epoch, lease, partitions: starts.len() }
            .run(stop)
            .await;
        // Dropping a consumer blocks.
        tokio::task::spawn_blocking(move || drop(consumer)).await?;
        Ok(())
    }

    /// Where each partition is read from. What the broker has deleted is read from the history where an order's next record shows that it is missing.
    async fn starts(&self, epoch: i64, watermarks: &Watermarks) -> Result<BTreeMap<i32, i64>, StoreError> {
        let noted = self.store.next_offsets(self.topic, epoch).await?;
        let start = |(partition, (low, _)): (&i32, &(i64, i64))| {
            let next = noted.get(partition).copied().unwrap_or(*low);
            if next < *low {
                warn!(
                    topic = self.topic.name(),
                    partition,
                    lost = low - next,
                    "Kafka has deleted records before they were counted: `comanda stats rebuild` counts the history"
                );
            }
            (*partition, next.max(*low))
        };
        Ok(watermarks.iter().map(start).collect())
    }
}

/// Completes when the lease cannot be trusted any more without being renewed; whether it was is for the caller to ask.
async fn until_over(lease: Lease, stop: &CancellationToken) {
    while lease.is_live() && !stop.is_cancelled() {
        sleep(LOOK, stop).await;
    }
}

/// One log, read by one consumer.
struct Reading<'r> {
    reader: &'r Reader,
    consumer: Arc<StreamConsumer<Context>>,
    folder: Folder,
    epoch: i64,
    lease: Lease,
    partitions: usize,
}

impl Reading<'_> {
    /// Counts batches until the stop, another leader, another log, more partitions or a stall.
    async fn run(&self, stop: &CancellationToken) {
        let mut progress = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        let name = self.reader.name();
        let mut replaced = pin!(replaced(&name, self.epoch, || self.reader.epoch(), LOOK));
        loop {
            tokio::select! {
                batch = next_batch(&self.consumer, &name) => {
                    progress = Instant::now();
                    if !self.count(&batch, stop).await {
                        return;
                    }
                    if batch.len() < BATCH {
                        sleep(ROUND.saturating_sub(progress.elapsed()), stop).await;
                    }
                }
                _ = look.tick() => {
                    match self.look().await {
                        Ok(Look { goes_on: true, waiting }) if waiting == 0 || progress.elapsed() < STALL => {}
                        Ok(Look { goes_on: true, .. }) => return stalled(),
                        Ok(Look { goes_on: false, .. }) => return,
                        Err(error) => warn!(topic = self.reader.topic.name(), "the topic's end is not known: {error:#}"),
                    }
                }
                () = &mut replaced => return,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Counts a batch, however often it must be tried. False where it cannot be by this leader, or the stop came first.
    async fn count(&self, batch: &[Record], stop: &CancellationToken) -> bool {
        let started = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut waiting = vec![batch];
        while let Err(error) = apply_or_set_aside(&self.folder, &mut waiting).await {
            if self.folder.is_over() || stop.is_cancelled() {
                return false;
            }
            warn!(topic = self.reader.topic.name(), "a batch waits: {error}");
            backoff.wait(stop).await;
        }
        let topic = self.reader.topic.name();
        histogram!("comanda_analytics_batch_size", "topic" => topic).record(batch.len() as f64);
        histogram!("comanda_analytics_fold_seconds", "topic" => topic).record(started.elapsed());
        true
    }

    /// Looks how far the topic goes. What ends where it is counted is complete up to the time before the look.
    async fn look(&self) -> Result<Look> {
        let Reader { store, topic, .. } = self.reader;
        let time = store.now().await?;
        let (consumer, name) = (self.consumer.clone(), self.reader.name());
        let asked = tokio::task::spawn_blocking(move || kafka::watermarks(consumer.client(), &name));
        let ends: BTreeMap<_, _> = asked.await??.into_iter().map(|(partition, (_, end))| (partition, end)).collect();
        let leads = store.note_ends(self.lease.epoch, *topic, self.epoch, time, &ends).await?;
        let next = store.next_offsets(*topic, self.epoch).await?;
        let waiting = ends.iter().map(|(partition, end)| (end - next.get(partition).unwrap_or(&0)).max(0)).sum();
        gauge!("comanda_analytics_waiting_records", "topic" => topic.name()).set(waiting as f64);
        Ok(Look { goes_on: leads && ends.len() == self.partitions, waiting })
    }
}

/// What a look at the topic found.
struct Look {
    /// This replica leads, and reads every partition.
    goes_on: bool,
    /// How many records are not counted.
    waiting: i64,
}

fn stalled() {
    counter!("comanda_analytics_stalls_total").increment(1);
    warn!("the topic has more than the consumer brings: making a new consumer");
}

/// At least one record, and whatever else is already here.
async fn next_batch(consumer: &StreamConsumer<Context>, topic: &str) -> Vec<Record> {
    let mut stream = consumer.stream();
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        let next = if batch.is_empty() { stream.next().await } else { stream.next().now_or_never().flatten() };
        match next {
            Some(Ok(message)) => batch.push(Record::copy(&message)),
            Some(Err(error)) => {
                consumer.context().report(&error, topic);
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
