//! Producing and consuming with nothing but librdkafka: every call blocks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use comanda_kit::kafka::{self, Config};
use rdkafka::{
    ClientContext, Message,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
    types::RDKafkaErrorCode,
};

use crate::latency::Recorder;

const PAYLOAD: [u8; 300] = [b'x'; 300];
const BOUND: Duration = Duration::from_secs(10);

/// Counts what the broker has acknowledged.
#[derive(Clone, Default)]
struct Acknowledged(Arc<AtomicU64>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(result.is_ok()), Relaxed);
    }
}

/// Records a second, until the last is acknowledged, and how many they were.
pub fn produce(kafka: &Config, topic: &str, duration: Duration) -> Result<(f64, u64)> {
    let acknowledged = Acknowledged::default();
    let producer: BaseProducer<Acknowledged> = kafka.producer().create_with_context(acknowledged.clone())?;
    let (started, mut sent) = (Instant::now(), 0_u64);
    while started.elapsed() < duration {
        send(&producer, topic, &sent.to_be_bytes())?;
        sent += 1;
    }
    producer.flush(BOUND)?;
    let elapsed = started.elapsed();
    let arrived = acknowledged.0.load(Relaxed);
    ensure!(arrived == sent, "{arrived} of {sent} records were acknowledged");
    Ok((sent as f64 / elapsed.as_secs_f64(), sent))
}

fn send(producer: &BaseProducer<Acknowledged>, topic: &str, key: &[u8]) -> Result<()> {
    queue(producer, BaseRecord::to(topic).key(key).payload(&PAYLOAD[..]))
}

/// Hands a record to the producer, and waits while its queue is full.
pub fn queue<C: ProducerContext<DeliveryOpaque = ()>>(
    producer: &BaseProducer<C>,
    mut record: BaseRecord<'_, [u8], [u8]>,
) -> Result<()> {
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => record = refused,
            Err((error, _)) => return Err(error.into()),
        }
        producer.poll(Duration::from_millis(1));
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

/// Records a second, reading `records` of them.
pub fn consume(kafka: &Config, topic: &str, records: u64) -> Result<f64> {
    let consumer: BaseConsumer = kafka.free_consumer().create()?;
    let started = Instant::now();
    assign(&consumer, topic, |(first, _)| first)?;
    for read in 0..records {
        consumer.poll(BOUND).with_context(|| format!("after {read} of {records} records nothing comes"))??;
    }
    Ok(records as f64 / started.elapsed().as_secs_f64())
}

fn assign(consumer: &BaseConsumer, topic: &str, place: impl Fn((i64, i64)) -> i64) -> Result<()> {
    let marks = kafka::watermarks(consumer.client(), topic)?;
    let places: BTreeMap<i32, i64> = marks.into_iter().map(|(partition, marks)| (partition, place(marks))).collect();
    Ok(consumer.assign(&kafka::assignment(topic, &places)?)?)
}

/// One record at a time: sent, acknowledged, fetched.
pub fn round_trips(kafka: &Config, topic: &str, duration: Duration) -> Result<Recorder> {
    let consumer: BaseConsumer = kafka.free_consumer().create()?;
    assign(&consumer, topic, |(_, next)| next)?;
    let mut settings = kafka.producer();
    let producer = settings.set("linger.ms", "0").create_with_context(Acknowledged::default())?;
    // The first finds out where everything is.
    round_trip(&producer, &consumer, topic, 0)?;
    let (started, recorder) = (Instant::now(), Recorder::default());
    for n in 1.. {
        if started.elapsed() >= duration {
            break;
        }
        recorder.record(round_trip(&producer, &consumer, topic, n)?);
    }
    Ok(recorder)
}

fn round_trip(producer: &BaseProducer<Acknowledged>, consumer: &BaseConsumer, topic: &str, n: u64) -> Result<Duration> {
    let (started, key) = (Instant::now(), n.to_be_bytes());
    send(producer, topic, &key)?;
    let record = consumer.poll(BOUND).context("a record does not come back")??;
    if record.key() != Some(&key[..]) {
        bail!("another record came back");
    }
    let elapsed = started.elapsed();
    // Its acknowledgement, so that the next is not queued behind it.
    producer.flush(BOUND)?;
    Ok(elapsed)
}
