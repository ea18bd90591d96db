//! A year of transitions, straight to the topic.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use comanda_kit::kafka::Config;
use comanda_proto::{
    Money,
    events::OrderTransition,
    topics::{self, Event},
    v1::{Phase, Trigger},
};
use prost::Message;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use uuid::{NoContext, Timestamp, Uuid};

use crate::probes::records::queue;

/// The last hours are left out, so that what happens now is not confused with it.
const YEAR: Duration = Duration::from_secs(364 * 24 * 3600);
const STEP: Duration = Duration::from_secs(600);
const FLUSH: Duration = Duration::from_secs(60);
const STEPS: [(&str, Phase, Trigger); 4] = [
    ("received", Phase::Active, Trigger::Create),
    ("preparing", Phase::Active, Trigger::Timer),
    ("dispatched", Phase::Active, Trigger::Timer),
    ("delivered", Phase::Succeeded, Trigger::Timer),
];
/// Each has its own rows in every report.
const WORKFLOWS: [&str; 2] = ["delivery", "delivery-finalizado"];

/// The transitions of an order are a constant many.
pub(super) const PER_ORDER: u64 = STEPS.len() as u64;

/// Publishes the transitions of so many orders, the oldest first. Blocks.
pub(super) fn publish(kafka: &Config, orders: u64) -> Result<()> {
    let producer: BaseProducer = kafka.producer().create()?;
    let topic = kafka.topic(topics::ORDER_TRANSITIONS);
    let now = SystemTime::now();
    for n in 0..orders {
        let created = now - YEAR + YEAR.mul_f64(n as f64 / (orders + 1) as f64);
        let order_id = order_id(created)?.to_string();
        for version in 1..=PER_ORDER {
            send(&producer, &topic, &transition(&order_id, n, version, created))?;
        }
    }
    Ok(producer.flush(FLUSH)?)
}

/// As ordering makes them: by time.
fn order_id(created: SystemTime) -> Result<Uuid> {
    let since = created.duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos())))
}

fn transition(order_id: &str, n: u64, version: u64, created: SystemTime) -> OrderTransition {
    let at = |version: u64| created + STEP * (version - 1) as u32;
    let place = version as usize - 1;
    let (to_status, phase, trigger) = STEPS[place];
    OrderTransition {
        order_id: order_id.into(),
        version: version as i64,
        tenant: "default".into(),
        from_status: if place > 0 { STEPS[place - 1].0.into() } else { String::new() },
        from_time: (place > 0).then(|| at(version - 1).into()),
        to_status: to_status.into(),
        phase: phase.into(),
        transition_time: Some(at(version).into()),
        trigger: trigger.into(),
        workflow: WORKFLOWS[n as usize % WORKFLOWS.len()].into(),
        workflow_revision: 1,
        total: Some(Money { currency_code: "EUR".into(), units: 12, nanos: 500_000_000 }),
        item_count: 2,
        ..OrderTransition::default()
    }
}

fn send(producer: &BaseProducer, topic: &str, event: &OrderTransition) -> Result<()> {
    let payload = event.encode_to_vec();
    let headers = topics::headers(event)
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(&*value) }));
    queue(producer, BaseRecord::to(topic).key(event.subject().as_bytes()).payload(&payload[..]).headers(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_leaves_each_status_for_the_next_ten_minutes_later() {
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let all: Vec<_> = (1..=PER_ORDER).map(|version| transition("o", 0, version, created)).collect();
        for pair in all.windows(2) {
            assert_eq!((&pair[1].from_status, pair[1].from_time), (&pair[0].to_status, pair[0].transition_time));
        }
        assert_eq!((all[0].from_time, all[3].phase()), (None, Phase::Succeeded));
        assert_eq!(all[3].transition_time.expect("a time").seconds, 1000 + 3 * 600);
    }
}
