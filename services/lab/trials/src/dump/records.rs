//! All records of the topics that are kept, from the beginning.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use comanda_checker::history::{RecordContent, Topic, What};
use comanda_proto::events::{AssignmentEvent, OrderPlaced, OrderTransition};
use prost::Message as _;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};

use super::{Logs, TOPICS, assignments, full_name};
use crate::{
    cluster::Endpoints,
    recorder::Recorder,
    workload::{digest, shown},
};

/// The header of records that a run itself has put on a topic.
pub const PLANTED_HEADER: &str = "trial-planted";

/// The header that says whose order it is.
const TENANT_HEADER: &str = "ce_tenant";

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the next record may take.
const RECORD_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes all of them down.
pub(super) async fn dump(endpoints: &Endpoints, logs: Logs, recorder: &Recorder) -> Result<()> {
    for topic in TOPICS {
        let (settings, name, recorder) = (client(endpoints), full_name(endpoints, topic), recorder.clone());
        let log = u32::try_from(logs.of(topic)).context("a topic has had too many logs")?;
        let reading = move || read(&settings, &name, topic, log, &recorder);
        tokio::task::spawn_blocking(reading).await??;
    }
    Ok(())
}

/// What all of the dump's clients of Kafka share.
pub(super) fn client(endpoints: &Endpoints) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &endpoints.kafka_bootstrap_servers)
        .set("client.id", "trials")
        // librdkafka demands a name; nothing is committed under it.
        .set("group.id", "trials-dump")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("fetch.queue.backoff.ms", "20");
    settings
}

/// The partitions of a topic. Blocks.
pub(super) fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<BTreeSet<i32>> {
    let metadata =
        consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT).context("Kafka does not answer; is it still running?")?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let ids: BTreeSet<_> = found.map(|found| found.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
    ensure!(!ids.is_empty(), "there is no topic {topic}");
    Ok(ids)
}

/// Reads a topic from its beginning to where it ends. Blocks.
fn read(settings: &ClientConfig, name: &str, topic: Topic, log: u32, recorder: &Recorder) -> Result<()> {
    let consumer: BaseConsumer = settings.create()?;
    let mut unread = partitions(&consumer, name)?;
    let mut assignment = TopicPartitionList::new();
    for partition in &unread {
        assignment.add_partition_offset(name, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    while !unread.is_empty() {
        match consumer.poll(RECORD_TIMEOUT) {
            Some(Ok(message)) => recorder.record(line(&message, topic, log)),
            Some(Err(KafkaError::PartitionEOF(partition))) => _ = unread.remove(&partition),
            Some(Err(error)) if is_fatal(&error) => return Err(error).context(format!("{name} could not be read")),
            Some(Err(_)) => {}
            None => bail!("{name} is silent before its end, in partitions {unread:?}"),
        }
    }
    Ok(())
}

/// Whether an error is more than a broker that is away for the moment.
fn is_fatal(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    let passing = [AllBrokersDown, BrokerTransportFailure, OperationTimedOut];
    !error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

fn line(message: &BorrowedMessage<'_>, topic: Topic, log: u32) -> What {
    let headers = message.headers();
    let header = |name: &str| headers.and_then(|headers| headers.iter().find(|header| header.key == name));
    let is_planted = header(PLANTED_HEADER).is_some();
    let tenant = header(TENANT_HEADER).and_then(|header| header.value);
    let payload = message.payload().unwrap_or_default();
    What::Record {
        topic,
        log,
        partition: message.partition(),
        offset: message.offset(),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        tenant: tenant.map(|tenant| String::from_utf8_lossy(tenant).into_owned()),
        content: if is_planted { RecordContent::Planted } else { content(topic, payload) },
    }
}

fn content(topic: Topic, payload: &[u8]) -> RecordContent {
    let read = match topic {
        Topic::Orders => OrderPlaced::decode(payload).map(placed),
        Topic::Transitions => OrderTransition::decode(payload).map(transition),
        Topic::Assignments => {
            AssignmentEvent::decode(payload).map(|event| RecordContent::Assignment { event: assignments::event(event) })
        }
    };
    read.unwrap_or_else(|error| RecordContent::Unreadable { why: error.to_string() })
}

fn transition(event: OrderTransition) -> RecordContent {
    let tenant = event.tenant.clone();
    RecordContent::Transition { tenant, transition: shown::transition(&event.into()) }
}

fn placed(placed: OrderPlaced) -> RecordContent {
    RecordContent::Placed {
        create_time_us: placed.create_time.as_ref().map(shown::microseconds).unwrap_or_default(),
        total: placed.total.as_ref().map(digest::money).unwrap_or_default(),
        item_count: placed.item_count,
        tenant: placed.tenant,
        order_id: placed.order_id,
        number: placed.number,
        customer_id: placed.customer_id,
        workflow: placed.workflow,
        revision: placed.workflow_revision,
        status: placed.status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_it_holds_or_why_it_cannot_be_read() {
        let transition = OrderTransition { order_id: "o".into(), version: 3, ..Default::default() };
        let RecordContent::Transition { transition: read, .. } =
            content(Topic::Transitions, &transition.encode_to_vec())
        else {
            panic!("another content")
        };
        assert_eq!((&*read.order_id, read.version), ("o", 3));
        assert!(matches!(content(Topic::Orders, &[0xff]), RecordContent::Unreadable { .. }));
    }
}
