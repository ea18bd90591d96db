//! Publishes positions. It waits for nobody: what Kafka does not take is counted and lost, and the courier's next position replaces it.

use anyhow::Result;
use comanda_kit::kafka;
use comanda_proto::events::CourierLocation;
use metrics::counter;
use prost::Message as _;
use rdkafka::{
    ClientContext,
    message::DeliveryResult,
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
};

/// Publishes to the topic of positions.
pub struct Publisher {
    producer: Option<ThreadedProducer<Lossy>>,
    topic: String,
}

impl Publisher {
    /// A producer for this topic (full name).
    pub fn new(kafka: &kafka::Config, topic: String) -> Result<Self> {
        Ok(Self { producer: Some(kafka.lossy_producer().create_with_context(Lossy)?), topic })
    }

    /// Queues a position. False where the queue is full, as after a while without Kafka.
    pub fn publish(&self, location: &CourierLocation) -> bool {
        let Some(producer) = &self.producer else { return false };
        let (payload, headers) = (location.encode_to_vec(), kafka::headers(location));
        let record = BaseRecord::to(&self.topic).key(&location.courier_id).payload(&payload).headers(headers);
        producer.send(record).is_ok()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Ending a producer blocks.
        if let Some(producer) = self.producer.take() {
            std::thread::spawn(move || drop(producer));
        }
    }
}

/// Counts what was lost.
struct Lossy;

impl ClientContext for Lossy {}

impl ProducerContext for Lossy {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            counter!("comanda_dispatch_locations_lost_total").increment(1);
        }
    }
}
