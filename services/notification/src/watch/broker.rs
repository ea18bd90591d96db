//! Questions to the broker: where the topic begins and ends, where it was at a time, how many partitions it has.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use comanda_kit::{
    errors::ApiError,
    kafka::{self, Context, Watermarks, Work},
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::Semaphore;
use tracing::warn;

use super::token::Offsets;

/// How many callers may ask at once: each opens a connection of its own.
const CALLERS: usize = 2;

/// Asks about one topic.
#[derive(Clone, Debug)]
pub struct Broker {
    kafka: kafka::Config,
    topic: String,
    callers: Arc<Semaphore>,
}

impl Broker {
    /// Asks about this topic.
    pub fn new(kafka: kafka::Config, topic: String) -> Self {
        Self { kafka, topic, callers: Arc::new(Semaphore::new(CALLERS)) }
    }

    /// Where each partition ends, for a caller whose token is beyond what was read.
    pub async fn ends(&self) -> Result<Offsets, ApiError> {
        let _place = self.callers.try_acquire().map_err(|_| ApiError::overloaded())?;
        let watermarks = self.watermarks().await.map_err(|error| {
            warn!("the topic's end is not known: {error:#}");
            ApiError::unavailable()
        })?;
        Ok(Offsets::new(watermarks.into_values().map(|(_, end)| end)))
    }

    /// Where each partition begins and ends.
    pub async fn watermarks(&self) -> Result<Watermarks> {
        let topic = self.topic.clone();
        self.ask(move |consumer| {
            Ok(kafka::ask(consumer, Work::Read(&topic), |consumer| kafka::watermarks(consumer.client(), &topic))?)
        })
        .await
    }

    /// How many partitions the topic has.
    pub async fn partitions(&self) -> Result<usize> {
        let topic = self.topic.clone();
        self.ask(move |consumer| {
            let metadata = consumer.client().fetch_metadata(Some(&topic), kafka::REQUEST_TIMEOUT)?;
            Ok(metadata.topics().iter().map(|topic| topic.partitions().len()).sum())
        })
        .await
    }

    /// For each of the partitions the first offset that is not older than `age`; none where there is no such record.
    pub async fn offsets_of_age(&self, partitions: Vec<i32>, age: Duration) -> Result<BTreeMap<i32, i64>> {
        let since = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
        let topic = self.topic.clone();
        self.ask(move |consumer| kafka::offsets_since(consumer, &topic, partitions, since)).await
    }

    /// Asks with a client of its own, which is closed afterwards: a client that is not polled would gather events without end.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer<Context>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let config = self.kafka.question();
        let asked = tokio::task::spawn_blocking(move || question(&kafka::open(&config)?));
        asked.await.context("the question panicked")?
    }
}
