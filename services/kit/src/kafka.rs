//! Kafka: one place for the settings of every client, and the making and checking of topics.

mod security;
mod settings;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use comanda_proto::topics;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    types::RDKafkaErrorCode,
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

pub use self::{security::Security, settings::Settings};
use crate::{backoff::Backoff, traces};

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
            .set("socket.keepalive.enable", "true");
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

/// Asks the broker where each partition of a topic begins and ends. Blocks: run it with `spawn_blocking`.
pub fn watermarks<C: ClientContext>(client: &rdkafka::client::Client<C>, topic: &str) -> KafkaResult<Watermarks> {
    let metadata = client.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let partitions = metadata.topics().first().map(|topic| topic.partitions()).unwrap_or_default();
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
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

/// How a topic is made.
#[derive(Args, Clone, Debug)]
pub struct TopicConfig {
    /// Partitions of each topic. Fixed once the topic exists: more would move the keys.
    #[arg(long, env = "COMANDA_PARTITIONS", default_value_t = topics::DEFAULT_PARTITIONS)]
    pub partitions: i32,
    /// Copies of each partition; 3 where there are three brokers.
    #[arg(long, env = "COMANDA_REPLICATION_FACTOR", default_value_t = 1)]
    pub replication_factor: i32,
}

/// What [`create_topic`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// It was made.
    Created,
    /// It was there, as asked for.
    Existed,
    /// It was there with another number of partitions, which was left as it is.
    Differs {
        /// Its partitions.
        partitions: i32,
    },
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes a topic, or reports how an existing one differs; never alters one.
pub async fn create_topic(config: &Config, topic: &str, settings: &TopicConfig) -> Result<TopicState> {
    let admin: AdminClient<DefaultClientContext> = config.with_own_settings(config.client()).create()?;
    let retention = topics::retention(topic.strip_prefix(&config.topic_prefix).unwrap_or(topic));
    let (retention_ms, segment_ms) = (retention.as_millis().to_string(), (retention.as_millis() / 6).to_string());
    let mut new = NewTopic::new(topic, settings.partitions, TopicReplication::Fixed(settings.replication_factor));
    new = new.set("retention.ms", &retention_ms).set("cleanup.policy", "delete");
    if retention < DAY {
        // Only whole segments are deleted, and by default one lasts for a week.
        new = new.set("segment.ms", &segment_ms);
    }
    if settings.replication_factor >= 3 {
        new = new.set("min.insync.replicas", "2");
    }
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT));
    let results = admin
        .create_topics([&new], &options)
        .await
        .context("Kafka does not answer; is it running, and is KAFKA_BOOTSTRAP_SERVERS right?")?;
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(TopicState::Created),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => compare(admin, topic, settings.partitions).await,
        Some(Err((_, code))) => bail!("Kafka would not make topic {topic}: {code}"),
        None => bail!("Kafka did not say what became of topic {topic}"),
    }
}

async fn compare(admin: AdminClient<DefaultClientContext>, topic: &str, wanted: i32) -> Result<TopicState> {
    let name = topic.to_owned();
    let found = tokio::task::spawn_blocking(move || watermarks(admin.inner(), &name)).await??;
    let partitions = i32::try_from(found.len())?;
    Ok(if partitions == wanted { TopicState::Existed } else { TopicState::Differs { partitions } })
}

/// Waits until a topic exists, saying how to make it, and returns its watermarks; `None` when told to stop.
pub async fn wait_for_topic(config: &Config, topic: &str, stop: &CancellationToken) -> Result<Option<Watermarks>> {
    let consumer: BaseConsumer = config.free_consumer().create()?;
    let consumer = std::sync::Arc::new(consumer);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut told = false;
    while !stop.is_cancelled() {
        let (asked, name) = (consumer.clone(), topic.to_owned());
        match tokio::task::spawn_blocking(move || watermarks(asked.client(), &name)).await? {
            Ok(found) => return Ok(Some(found)),
            Err(error) if !told => info!("waiting for topic {topic} (`comanda migrate` makes it): {error}"),
            Err(_) => {}
        }
        told = true;
        backoff.wait(stop).await;
    }
    Ok(None)
}

/// An assignment of every partition of a topic, each from the offset given.
pub fn assignment(topic: &str, offsets: &BTreeMap<i32, i64>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(|error| anyhow!(error))?;
    }
    Ok(list)
}
