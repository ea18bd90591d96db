//! Reads a topic of dispatch from its end on, on behalf of open streams; while no stream follows anything it is not read at all.
//!
//! Every replica reads every partition, outside any group and without commits. What was missed in between is told to the streams by `begin`.
//! A topic that is not there is waited for.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use anyhow::Result;
use comanda_kit::{
    backoff::{Backoff, sleep},
    kafka::{self, Record, Watermarks},
};
use rdkafka::{consumer::Consumer, error::KafkaError, message::BorrowedMessage};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{broker::Broker, couriers::Couriers, reader::TopicConsumer};

/// Reads one topic.
pub struct Feed {
    /// Where its records go.
    pub couriers: Arc<Couriers>,
    /// True while they are wanted.
    pub wanted: watch::Receiver<bool>,
    /// Called when reading begins.
    pub begin: fn(&Couriers),
    /// Called for each record.
    pub take: fn(&Couriers, &Record),
    /// Settings.
    pub kafka: kafka::Config,
    /// Full name of the topic.
    pub topic: String,
    /// How often the topic and the consumer are looked at.
    pub interval: Duration,
}

impl Feed {
    /// Reads until the stop, whatever happens to the broker.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while self.is_wanted(&stop).await {
            let Some(watermarks) = kafka::wait_for_topic(&self.kafka, &self.topic, &stop).await? else { break };
            match self.read(&watermarks, &stop).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    warn!(topic = self.topic, "the topic cannot be read: {error:#}");
                    backoff.wait(&stop).await;
                }
            }
        }
        Ok(())
    }

    /// Waits until records are wanted; false at the stop.
    async fn is_wanted(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            wanted = self.wanted.wait_for(|wanted| *wanted) => wanted.is_ok(),
        }
    }

    /// Reads until nothing is wanted any more, or a new consumer is needed.
    async fn read(&self, watermarks: &Watermarks, stop: &CancellationToken) -> Result<()> {
        let mut progress = Progress::from_the_end(watermarks);
        let consumer: TopicConsumer = kafka::open(&self.kafka.free_consumer())?;
        consumer.assign(&kafka::assignment(&self.topic, &progress.next)?)?;
        (self.begin)(&self.couriers);
        info!(topic = self.topic, partitions = watermarks.len(), "reading the topic");
        self.read_with(&consumer, &mut progress, stop).await;
        // Dropping a consumer blocks.
        tokio::task::spawn_blocking(move || drop(consumer)).await?;
        Ok(())
    }

    async fn read_with(&self, consumer: &TopicConsumer, progress: &mut Progress, stop: &CancellationToken) {
        let broker = Broker::new(self.kafka.clone(), self.topic.clone());
        let mut look = pin!(self.look(&broker));
        loop {
            tokio::select! {
                next = consumer.recv() => self.accept(consumer, next, progress, stop).await,
                watermarks = &mut look => {
                    if !*self.wanted.borrow() || watermarks.is_some_and(|watermarks| !progress.holds(&watermarks)) {
                        return;
                    }
                    look.set(self.look(&broker));
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Waits, and asks the broker where the topic begins and ends; `None` where it does not say.
    async fn look(&self, broker: &Broker) -> Option<Watermarks> {
        tokio::time::sleep(self.interval).await;
        broker.watermarks().await.ok()
    }

    async fn accept(
        &self,
        consumer: &TopicConsumer,
        next: Result<BorrowedMessage<'_>, KafkaError>,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) {
        match next.map(|message| Record::copy(&message)) {
            Ok(record) => {
                progress.next.insert(record.partition, record.offset + 1);
                (self.take)(&self.couriers, &record);
            }
            Err(error) => {
                consumer.context().report(&error, &self.topic);
                sleep(Duration::from_millis(200), stop).await;
            }
        }
    }
}

/// How far a topic was read.
struct Progress {
    /// What is read next of each partition.
    next: BTreeMap<i32, i64>,
    /// Where each partition ended when it was looked at last.
    ends: BTreeMap<i32, i64>,
}

impl Progress {
    fn from_the_end(watermarks: &Watermarks) -> Self {
        let ends: BTreeMap<_, _> = watermarks.iter().map(|(partition, (_, end))| (*partition, *end)).collect();
        Self { next: ends.clone(), ends }
    }

    /// Whether the consumer reads what there is: the same partitions of the same log, up to where it ended the last time.
    fn holds(&mut self, watermarks: &Watermarks) -> bool {
        let has_read = |(partition, end): (&i32, &i64)| self.next.get(partition).is_some_and(|next| next >= end);
        let is_up_to_date = self.ends.iter().all(has_read);
        self.ends = watermarks.iter().map(|(partition, (_, end))| (*partition, *end)).collect();
        let is_same_log =
            self.next.iter().all(|(partition, next)| self.ends.get(partition).is_some_and(|end| end >= next));
        is_up_to_date && is_same_log && self.next.len() == self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(ends: &[i64]) -> Watermarks {
        (0..).zip(ends.iter().map(|end| (0, *end))).collect()
    }

    #[test]
    fn a_consumer_is_kept_while_it_reads_what_there_was_a_moment_ago() {
        let mut progress = Progress::from_the_end(&ends(&[5, 0]));
        assert!(progress.holds(&ends(&[5, 0])));
        assert!(progress.holds(&ends(&[7, 0])), "this may be under way");
        progress.next.insert(0, 7);
        assert!(progress.holds(&ends(&[8, 0])));
        assert!(!progress.holds(&ends(&[8, 0])), "this has not come");
    }

    #[test]
    fn another_log_and_further_partitions_need_another_consumer() {
        assert!(!Progress::from_the_end(&ends(&[5, 5])).holds(&ends(&[5, 2])));
        assert!(!Progress::from_the_end(&ends(&[5, 5])).holds(&ends(&[5, 5, 0])));
        assert!(!Progress::from_the_end(&ends(&[5, 5])).holds(&ends(&[5])));
    }
}
