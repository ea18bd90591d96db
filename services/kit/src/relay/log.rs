//! A topic's log, as a producer sees it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
};

use anyhow::Result;
use metrics::gauge;
use rdkafka::{
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, future_producer::OwnedDeliveryResult},
};
use tracing::warn;
use uuid::Uuid;

use super::{outbox::Outgoing, partitioner};
use crate::{
    kafka::{self, Context, REQUEST_TIMEOUT, Work},
    planted,
};

/// Where Kafka stored a record: partition and offset.
pub type Ack = Result<(i32, i64), Failure>;

/// A record that Kafka did not take.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: KafkaError,
    /// Where it was to go, if that was known.
    pub partition: Option<i32>,
}

/// The log of one topic.
pub struct Log {
    topic: String,
    kafka: kafka::Config,
    /// What the producer, whichever it is now, was last told about its connections.
    context: Context,
    producer: Mutex<FutureProducer<Context>>,
    /// 0 while unknown.
    partitions: AtomicI32,
}

impl Log {
    /// Of a topic; connects in the background.
    pub fn new(kafka: kafka::Config, topic: String) -> Result<Self> {
        let settings = kafka.producer();
        let context = Context::of(&settings);
        let producer = Mutex::new(settings.create_with_context(context.clone())?);
        Ok(Self { topic, kafka, context, producer, partitions: AtomicI32::new(0) })
    }

    /// The topic's full name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How many partitions it has, once known.
    pub fn partitions(&self) -> Option<i32> {
        Some(self.partitions.load(Relaxed)).filter(|count| *count > 0)
    }

    /// The partition of a key, once their number is known.
    pub fn partition_of(&self, key: &Uuid) -> Option<i32> {
        Some(partitioner::partition_of(key.to_string().as_bytes(), self.partitions()?))
    }

    /// Hands a record to the producer.
    pub fn send(&self, outgoing: Outgoing) -> Result<DeliveryFuture, Failure> {
        let key = outgoing.key.to_string();
        let mut record = FutureRecord::to(&self.topic).key(&key).payload(&outgoing.payload).headers(outgoing.headers);
        if planted!("record-without-key") {
            record.key = None;
        }
        self.producer().send_result(record).map_err(|(error, _)| Failure { error, partition: None })
    }

    /// The end of each partition that answers; blocks. A partition without a leader is left out, and so is one whose broker is away. Fails with
    /// what keeps Kafka from answering.
    pub fn ends(&self) -> Result<BTreeMap<i32, i64>> {
        self.ask_for_ends().map_err(|error| {
            self.context.examine();
            self.explain(error)
        })
    }

    fn ask_for_ends(&self) -> KafkaResult<BTreeMap<i32, i64>> {
        let producer = self.producer();
        let metadata = producer.client().fetch_metadata(Some(&self.topic), REQUEST_TIMEOUT)?;
        let partitions = kafka::partitions(&metadata, &self.topic)?;
        self.context.forget();
        self.partitions.store(i32::try_from(partitions.len()).unwrap_or(i32::MAX), Relaxed);
        let led = partitions.iter().filter(|partition| partition.leader() >= 0).map(|partition| partition.id());
        let ends: BTreeMap<_, _> = led.filter_map(|id| Some((id, self.end(&producer, id)?))).collect();
        let unknown = partitions.len() - ends.len();
        gauge!("comanda_partitions_unreachable", "topic" => self.topic.clone()).set(unknown as f64);
        if unknown > 0 {
            warn!(
                topic = self.topic,
                unknown, "partitions have no leader or do not answer: their records wait, others go on"
            );
        }
        Ok(ends)
    }

    fn end(&self, producer: &FutureProducer<Context>, partition: i32) -> Option<i64> {
        let (_, end) = producer.client().fetch_watermarks(&self.topic, partition, REQUEST_TIMEOUT).ok()?;
        Some(end)
    }

    /// Replaces a producer that has failed for good. True if it did.
    pub fn renew_if_broken(&self, failure: &Failure) -> Result<bool> {
        let is_fatal = failure.error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        if !is_fatal && self.producer().client().fatal_error().is_none() {
            return Ok(false);
        }
        warn!(topic = self.topic, "the producer has failed for good: replacing it");
        let new = self.kafka.producer().create_with_context(self.context.clone())?;
        let broken = std::mem::replace(&mut *self.producer.lock().unwrap_or_else(PoisonError::into_inner), new);
        // Dropping a producer blocks for up to half a second.
        tokio::task::spawn_blocking(move || drop(broken));
        Ok(true)
    }

    /// Says why Kafka did not take a record: what is known of the connections, or of the topic.
    pub fn explain(&self, error: KafkaError) -> anyhow::Error {
        match self.context.explain(&error, Work::Write(&self.topic)) {
            Some(reason) => anyhow::Error::new(error).context(reason),
            None => error.into(),
        }
    }

    fn producer(&self) -> FutureProducer<Context> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What Kafka answered about a record.
pub fn delivered(delivery: Result<OwnedDeliveryResult, impl Sized>) -> Ack {
    match delivery {
        Ok(Ok(delivery)) => Ok((delivery.partition, delivery.offset)),
        Ok(Err((error, record))) => {
            let partition = rdkafka::Message::partition(&record);
            Err(Failure { error, partition: Some(partition).filter(|partition| *partition >= 0) })
        }
        Err(_) => Err(Failure { error: KafkaError::Canceled, partition: None }),
    }
}
