//! Reads the positions of all couriers from their topic into the grid.
//!
//! At first the grid gets the last positions that the database has; then the last two minutes of the topic, and whatever comes. Every partition
//! is read, outside any group and without commits. While Kafka is away, or when the topic was lost, the positions stay as they are.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use comanda_kit::{
    backoff::{Backoff, sleep},
    kafka::{self, Context, Watermarks},
};
use comanda_proto::{events::CourierLocation, views::offset_date_time};
use futures::{
    FutureExt,
    future::{Fuse, FusedFuture},
};
use metrics::{counter, histogram};
use prost::Message as _;
use rdkafka::{
    Message, Timestamp,
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use time::OffsetDateTime;
use tokio::{
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    grid::{Grid, SILENCE, Seen},
    place::{CourierKey, Point},
    store::Store,
};

/// How often the ends of the topic are asked for, to know whether everything was read.
const CHECK: Duration = Duration::from_secs(2);
/// A consumer that does not reach an end for so long is replaced.
const STALL: Duration = Duration::from_secs(30);

/// Fills a grid.
pub struct Feed {
    /// What is filled.
    pub grid: Arc<Grid>,
    /// Has the last positions.
    pub store: Store,
    /// Settings.
    pub kafka: kafka::Config,
    /// Full name of the topic.
    pub topic: String,
}

impl Feed {
    /// Reads until the stop, whatever happens to the broker or the database.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        self.restore(&stop).await;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while kafka::wait_for_topic(&self.kafka, &self.topic, &stop).await?.is_some() {
            if let Err(error) = self.read_log(&stop).await {
                warn!(topic = self.topic, "positions cannot be read: {error:#}");
            }
            backoff.wait(&stop).await;
        }
        Ok(())
    }

    /// Takes over the positions of the database, however long it is away.
    async fn restore(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while !stop.is_cancelled() {
            match self.store.restore_positions(&self.grid).await {
                Ok(()) => return,
                Err(error) => warn!("the last positions wait for the database: {error}"),
            }
            backoff.wait(stop).await;
        }
    }

    /// Reads until the stop, or until another consumer is needed.
    async fn read_log(&self, stop: &CancellationToken) -> Result<()> {
        let consumer: Arc<StreamConsumer<Context>> = Arc::new(kafka::open(&self.kafka.free_consumer())?);
        let (asked, topic) = (consumer.clone(), self.topic.clone());
        let start = spawn_blocking(move || start_of(&asked, &topic)).await??;
        consumer.assign(&kafka::assignment(&self.topic, &start)?)?;
        info!(topic = self.topic, partitions = start.len(), "reading the positions of couriers");
        let result = self.read(&consumer, Progress::from(start), stop).await;
        // Dropping a consumer blocks.
        spawn_blocking(move || drop(consumer)).await?;
        result
    }

    async fn read(
        &self,
        consumer: &Arc<StreamConsumer<Context>>,
        mut progress: Progress,
        stop: &CancellationToken,
    ) -> Result<()> {
        let (mut looks, mut ends) = (tokio::time::interval(CHECK), Fuse::terminated());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick(), if ends.is_terminated() => {
                    progress.ask();
                    ends = self.ends(consumer.clone()).boxed().fuse();
                }
                next = consumer.recv() => match next {
                    Ok(message) => {
                        self.take(&message);
                        progress.pass(message.partition(), message.offset() + 1);
                    }
                    Err(error) => {
                        consumer.context().report(&error, &self.topic);
                        sleep(Duration::from_millis(200), stop).await;
                    }
                },
                (asked, found) = &mut ends => match found {
                    Ok(watermarks) => progress.look(asked, watermarks)?,
                    Err(error) if is_gone(&error) => bail!("the topic is gone"),
                    // Kafka is away: the consumer says so.
                    Err(_) => {}
                },
                () = stop.cancelled() => return Ok(()),
            }
            if let Some(until) = progress.complete_until() {
                self.grid.note_read(until);
            }
        }
    }

    /// Where the topic ends, and when that was asked.
    async fn ends(&self, consumer: Arc<StreamConsumer<Context>>) -> (OffsetDateTime, KafkaResult<Watermarks>) {
        let (asked, topic) = (OffsetDateTime::now_utc(), self.topic.clone());
        let found = spawn_blocking(move || kafka::watermarks(consumer.client(), &topic)).await;
        (asked, found.unwrap_or(Err(KafkaError::Canceled)))
    }

    fn take(&self, message: &BorrowedMessage<'_>) {
        match located(message) {
            Some((courier, seen)) => {
                let age = OffsetDateTime::now_utc() - seen.heard;
                histogram!("comanda_dispatch_location_lag_seconds").record(age.as_seconds_f64().max(0.0));
                self.grid.note(courier, seen);
            }
            None => counter!("comanda_dispatch_locations_unreadable_total").increment(1),
        }
    }
}

fn is_gone(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
}

/// The offsets from which positions may still count.
fn start_of(consumer: &StreamConsumer<Context>, topic: &str) -> Result<BTreeMap<i32, i64>> {
    let watermarks = kafka::watermarks(consumer.client(), topic)?;
    let since = SystemTime::now() - SILENCE;
    let recent = kafka::offsets_since(consumer, topic, watermarks.keys().copied(), since)?;
    let start = |partition: &i32, end: i64| recent.get(partition).copied().unwrap_or(end);
    Ok(watermarks.iter().map(|(partition, (low, end))| (*partition, start(partition, *end).max(*low))).collect())
}

/// What a record says; `None` where it cannot be read.
fn located(message: &BorrowedMessage<'_>) -> Option<(CourierKey, Seen)> {
    let location = CourierLocation::decode(message.payload()?).ok()?;
    let position = location.position?;
    let time = offset_date_time(&location.record_time?)?;
    let heard = match message.timestamp() {
        Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => at(ms)?,
        Timestamp::NotAvailable => time,
    };
    let point = Point::new(position.latitude, position.longitude)?;
    Some((CourierKey::new(&location.tenant, &location.courier_id), Seen { point, time, heard }))
}

fn at(unix_ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).ok()
}

/// How far the topic was read, compared with where it ended a moment ago.
struct Progress {
    next: BTreeMap<i32, i64>,
    /// `next` when the ends were asked for. What is read meanwhile may lie behind the ends that are told.
    asked_at: BTreeMap<i32, i64>,
    /// The ends that are to be reached: when they were asked for.
    wanted: Option<(OffsetDateTime, Watermarks)>,
    since: Instant,
}

impl Progress {
    fn from(start: BTreeMap<i32, i64>) -> Self {
        Self { asked_at: start.clone(), next: start, wanted: None, since: Instant::now() }
    }

    fn pass(&mut self, partition: i32, next: i64) {
        self.next.insert(partition, next);
    }

    /// The ends are asked for now.
    fn ask(&mut self) {
        self.asked_at.clone_from(&self.next);
    }

    /// Takes the ends that were asked for, unless earlier ones are still to be reached. Fails where another consumer is needed.
    fn look(&mut self, asked: OffsetDateTime, watermarks: Watermarks) -> Result<()> {
        if watermarks.len() != self.next.len() {
            bail!("the topic has {} partitions now", watermarks.len());
        }
        if watermarks.iter().any(|(partition, (_, end))| self.asked_at.get(partition).is_some_and(|next| next > end)) {
            bail!("the topic has a new log");
        }
        if self.wanted.is_none() {
            (self.wanted, self.since) = (Some((asked, watermarks)), Instant::now());
        } else if self.since.elapsed() > STALL {
            bail!("the topic has more than the consumer brings");
        }
        Ok(())
    }

    /// When the ends were asked for that are reached now; told once.
    fn complete_until(&mut self) -> Option<OffsetDateTime> {
        let (_, watermarks) = self.wanted.as_ref()?;
        // What is before the low end was deleted.
        let reached =
            |(partition, (low, end)): (&i32, &(i64, i64))| self.next.get(partition).unwrap_or(low).max(low) >= end;
        if !watermarks.iter().all(reached) {
            return None;
        }
        self.wanted.take().map(|(asked, _)| asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);

    fn progress() -> Progress {
        Progress::from(BTreeMap::from([(0, 5), (1, 0)]))
    }

    #[tokio::test(start_paused = true)]
    async fn the_topic_is_complete_when_every_end_asked_for_is_reached() {
        let mut progress = progress();
        assert_eq!(progress.complete_until(), None);
        progress.look(NOON, Watermarks::from([(0, (0, 6)), (1, (0, 0))])).expect("the same log");
        assert_eq!(progress.complete_until(), None);
        // Later ends do not take the place of those that are still to be reached.
        let later = NOON + Duration::from_secs(2);
        progress.look(later, Watermarks::from([(0, (0, 9)), (1, (0, 0))])).expect("the same log");
        progress.pass(0, 6);
        assert_eq!(progress.complete_until(), Some(NOON));
        assert_eq!(progress.complete_until(), None, "told once");
        // What was deleted is not waited for.
        progress.look(later, Watermarks::from([(0, (9, 9)), (1, (0, 0))])).expect("the same log");
        assert_eq!(progress.complete_until(), Some(later));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_while_the_ends_are_asked_for_is_no_new_log() {
        let mut progress = progress();
        progress.ask();
        progress.pass(0, 8);
        progress.look(NOON, Watermarks::from([(0, (0, 6)), (1, (0, 0))])).expect("the end has moved on meanwhile");
        progress.ask();
        assert!(progress.look(NOON, Watermarks::from([(0, (0, 6)), (1, (0, 0))])).is_err(), "it is shorter");
    }

    #[tokio::test(start_paused = true)]
    async fn another_consumer_is_needed_for_a_new_log_for_partitions_and_where_nothing_comes() {
        assert!(progress().look(NOON, Watermarks::from([(0, (0, 4)), (1, (0, 0))])).is_err(), "it is shorter");
        assert!(progress().look(NOON, Watermarks::from([(0, (0, 5)), (1, (0, 0)), (2, (0, 0))])).is_err());
        let (mut progress, ends) = (progress(), Watermarks::from([(0, (0, 6)), (1, (0, 0))]));
        progress.look(NOON, ends.clone()).expect("the same log");
        tokio::time::advance(STALL).await;
        progress.look(NOON, ends.clone()).expect("it may still come");
        tokio::time::advance(CHECK).await;
        assert!(progress.look(NOON, ends).is_err());
    }
}
