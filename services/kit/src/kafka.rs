//! Kafka: one place for the settings of every client, and the making and checking of topics.

mod certificate;
mod context;
mod security;
mod settings;
mod topic;
mod trouble;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, anyhow};
use clap::Args;
use comanda_proto::topics;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    metadata::{Metadata, MetadataPartition},
    types::RDKafkaErrorCode,
};
use uuid::Uuid;

pub use self::{
    context::{Context, Unanswered, Work, ask, open},
    security::Security,
    settings::Settings,
    topic::{TopicConfig, TopicState, create_topic, wait_for_topic},
};
use crate::traces;

/// One question to the broker.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Kafka answers as soon as something is there; this only bounds how often an idle consumer asks.
pub const DEFAULT_FETCH_WAIT_MS: u32 = 100;
/// The records of about 20,000 transitions: some seconds of a busy process.
pub const DEFAULT_OUTBOX_CACHE_MIB: u32 = 32;

/// Settings of Kafka.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Kafka's brokers, as host:port,host:port.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "127.0.0.1:9092")]
    pub kafka_bootstrap_servers: String,
    /// Put before the name of every topic.
    #[arg(long, env = "COMANDA_TOPIC_PREFIX", default_value = topics::DEFAULT_PREFIX)]
    pub topic_prefix: String,
    /// How long a broker may hold back an answer when it has nothing new, in milliseconds.
    #[arg(long, env = "COMANDA_FETCH_WAIT_MS", default_value_t = DEFAULT_FETCH_WAIT_MS)]
    pub fetch_wait_ms: u32,
    /// How much of what it committed a process may keep in memory until it is published, in MiB for each outbox. What is not kept is read back
    /// from the database: with 0 everything.
    #[arg(long, env = "COMANDA_OUTBOX_CACHE_MIB", default_value_t = DEFAULT_OUTBOX_CACHE_MIB)]
    pub outbox_cache_mib: u32,
    /// Further settings of librdkafka: a JSON object, or one key=value a line; may be repeated. A single key=value is a value taken whole,
    /// commas and all. For secrets use the environment or --kafka-config-file: everyone on the machine can read a command line.
    #[arg(long, env = "COMANDA_KAFKA_CONFIG", hide_env_values = true, value_name = "SETTINGS")]
    pub kafka_config: Vec<Settings>,
    /// A file with such settings. Those of --kafka-config count more.
    #[arg(long, env = "COMANDA_KAFKA_CONFIG_FILE", value_name = "FILE", value_parser = Settings::read)]
    pub kafka_config_file: Option<Settings>,
    /// Encryption and login.
    #[command(flatten)]
    pub security: Security,
}

impl Config {
    /// The bound of what a process keeps of an outbox, in bytes.
    pub fn outbox_cache_bytes(&self) -> usize {
        self.outbox_cache_mib as usize * 1024 * 1024
    }

    /// The full name of a topic of [`comanda_proto::topics`].
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }

    /// What all clients share.
    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.kafka_bootstrap_servers)
            .set("client.id", "comanda")
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true")
            // Why a broker hangs up is told in a line of the log alone, which is read whatever RUST_LOG shows.
            .set_log_level(RDKafkaLogLevel::Info);
        self.security.apply(&mut client);
        client
    }

    fn with_own_settings(&self, mut client: ClientConfig) -> ClientConfig {
        for (key, value) in self.kafka_config_file.iter().chain(&self.kafka_config).flat_map(Settings::pairs) {
            client.set(key, value);
        }
        client
    }

    /// A producer that loses nothing and repeats nothing by itself. `message.timeout.ms` is finite because the outbox repeats.
    pub fn producer(&self) -> ClientConfig {
        let mut client = self.client();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // The partition that Java clients and Kafka's own tools would choose; librdkafka's own default differs.
            .set("partitioner", "murmur2_random")
            // The relay hands over a batch at once and waits for its acks: to wait for more would only cost time.
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("message.timeout.ms", "30000")
            .set("queue.buffering.max.kbytes", "32768");
        self.with_own_settings(client)
    }

    /// A producer of records that may be lost: it waits for nobody, and gives up early. What does not fit into its queue is refused.
    pub fn lossy_producer(&self) -> ClientConfig {
        let mut client = self.client();
        client
            .set("acks", "1")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "20")
            .set("compression.type", "lz4")
            .set("message.timeout.ms", "5000")
            .set("queue.buffering.max.messages", "50000");
        self.with_own_settings(client)
    }

    /// A consumer of a group. Offsets are stored by us, after the effect is committed, and sent in the background.
    pub fn group_consumer(&self, group: &str) -> ClientConfig {
        let mut client = self.reader();
        client
            .set("group.id", group)
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("statistics.interval.ms", "5000")
            .set("session.timeout.ms", "15000")
            .set("max.poll.interval.ms", "300000");
        self.with_own_settings(client)
    }

    /// A consumer that is told its partitions and commits nothing. librdkafka demands a group's name all the same.
    pub fn free_consumer(&self) -> ClientConfig {
        let mut client = self.reader();
        client
            .set("group.id", "comanda-unused")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        self.with_own_settings(client)
    }

    /// A client that only asks: of no group, so that it needs no right to one.
    pub fn question(&self) -> ClientConfig {
        self.with_own_settings(self.client())
    }

    fn reader(&self) -> ClientConfig {
        let mut client = self.client();
        client
            // librdkafka's default, latest, silently skips everything for a group that is new or was forgotten.
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", self.fetch_wait_ms.to_string())
            // Its default stalls a partition for a second after the local queue has filled.
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384")
            .set("topic.metadata.refresh.interval.ms", "30000");
        client
    }
}

/// A record as a consumer got it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    /// The trace of its order, while this process is traced.
    pub traceparent: Option<String>,
}

impl Record {
    /// The order that it is about, as its key says.
    pub fn order_id(&self) -> Option<Uuid> {
        Uuid::try_parse_ascii(&self.key).ok()
    }

    /// A copy that outlives the consumer's buffer.
    pub fn copy(message: &BorrowedMessage<'_>) -> Self {
        Self {
            topic: message.topic().into(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default().into(),
            payload: message.payload().unwrap_or_default().into(),
            traceparent: traces::are_on().then(|| traceparent(message.headers()?)).flatten().map(str::to_owned),
        }
    }
}

/// The headers of an event, as [`topics::headers`] says.
pub fn headers<E: topics::Event>(event: &E) -> OwnedHeaders {
    let pairs = topics::headers(event);
    let headers = OwnedHeaders::new_with_capacity(pairs.len());
    pairs.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(&**value) }))
}

/// The same with the trace of the event's order, if it has one.
pub fn traced(headers: OwnedHeaders, traceparent: Option<&str>) -> OwnedHeaders {
    match traceparent {
        Some(value) => headers.insert(Header { key: topics::TRACEPARENT, value: Some(value) }),
        None => headers,
    }
}

/// The trace that headers name.
pub fn traceparent(headers: &impl Headers) -> Option<&str> {
    let header = headers.iter().find(|header| header.key == topics::TRACEPARENT)?;
    std::str::from_utf8(header.value?).ok()
}

/// First and next offset of each partition.
pub type Watermarks = BTreeMap<i32, (i64, i64)>;

/// The partitions that a topic's metadata lists. Fails where the client may not see the topic, and where there is none.
pub fn partitions<'m>(metadata: &'m Metadata, topic: &str) -> KafkaResult<&'m [MetadataPartition]> {
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.map(|found| (found.error(), found.partitions())) {
        Some((Some(error), [])) => Err(KafkaError::MetadataFetch(error.into())),
        Some((_, partitions @ [_, ..])) => Ok(partitions),
        _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
    }
}

/// Asks the broker where each partition of a topic begins and ends. Blocks: run it with `spawn_blocking`.
pub fn watermarks<C: ClientContext>(client: &rdkafka::client::Client<C>, topic: &str) -> KafkaResult<Watermarks> {
    let metadata = client.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let partitions = partitions(&metadata, topic)?;
    partitions.iter().map(|p| Ok((p.id(), client.fetch_watermarks(topic, p.id(), REQUEST_TIMEOUT)?))).collect()
}

/// Asks the broker for the first offset of each partition that is not older than `since`; none where there is no such record. Blocks.
pub fn offsets_since<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    since: SystemTime,
) -> Result<BTreeMap<i32, i64>> {
    let mut times = TopicPartitionList::new();
    for partition in partitions {
        let time = Offset::Offset(i64::try_from(since.duration_since(UNIX_EPOCH)?.as_millis())?);
        times.add_partition_offset(topic, partition, time)?;
    }
    let offsets = consumer.offsets_for_times(times, REQUEST_TIMEOUT)?;
    let known = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    Ok(offsets.elements().iter().filter_map(|e| Some((e.partition(), known(e.offset())?))).collect())
}

/// An assignment of every partition of a topic, each from the offset given.
pub fn assignment(topic: &str, offsets: &BTreeMap<i32, i64>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(|error| anyhow!(error))?;
    }
    Ok(list)
}
