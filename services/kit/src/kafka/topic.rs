//! Topics: how they are made, and how one waits for them.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use comanda_proto::topics;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Config, REQUEST_TIMEOUT, Watermarks,
    context::{Context, Unanswered, Work, ask, open},
    watermarks,
};
use crate::backoff::Backoff;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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

/// Makes a topic, or reports how an existing one differs; never alters one. Fails with what keeps Kafka from doing it.
pub async fn create_topic(config: &Config, topic: &str, settings: &TopicConfig) -> Result<TopicState> {
    let admin: AdminClient<DefaultClientContext> = config.question().create()?;
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
    match admin.create_topics([&new], &options).await {
        Ok(results) => made(config, topic, settings, results).await,
        Err(error) => Err(silent(config, topic, error).await?),
    }
}

async fn made(config: &Config, topic: &str, settings: &TopicConfig, results: Vec<TopicResult>) -> Result<TopicState> {
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(TopicState::Created),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => compare(config, topic, settings.partitions).await,
        Some(Err((_, code))) => {
            let context = Context::of(&config.question());
            match context.explain_code(code, Work::Make(topic)) {
                Some(reason) => bail!(reason),
                None => bail!("Kafka would not make topic {topic}: {code}"),
            }
        }
        None => bail!("Kafka did not say what became of topic {topic}"),
    }
}

async fn compare(config: &Config, topic: &str, wanted: i32) -> Result<TopicState> {
    let found = ask_once(config, topic).await??;
    let partitions = i32::try_from(found.len())?;
    Ok(if partitions == wanted { TopicState::Existed } else { TopicState::Differs { partitions } })
}

/// Why Kafka does not answer: the client that makes topics does not tell, one that reads does.
async fn silent(config: &Config, topic: &str, error: KafkaError) -> Result<anyhow::Error> {
    let hint = "Kafka does not answer; is it running, and is KAFKA_BOOTSTRAP_SERVERS right?";
    Ok(match ask_once(config, topic).await? {
        Err(Unanswered { trouble: Some(trouble), .. }) => anyhow!("Kafka does not answer: {trouble}"),
        _ => anyhow::Error::new(error).context(hint),
    })
}

async fn ask_once(config: &Config, topic: &str) -> Result<Result<Watermarks, Unanswered>> {
    let consumer: BaseConsumer<Context> = open(&config.question())?;
    let name = topic.to_owned();
    Ok(tokio::task::spawn_blocking(move || marks(&consumer, &name)).await?)
}

fn marks(consumer: &BaseConsumer<Context>, topic: &str) -> Result<Watermarks, Unanswered> {
    ask(consumer, Work::Read(topic), |consumer| watermarks(consumer.client(), topic))
}

/// Waits until a topic exists, saying what it waits for, and returns its watermarks; `None` when told to stop.
pub async fn wait_for_topic(config: &Config, topic: &str, stop: &CancellationToken) -> Result<Option<Watermarks>> {
    let consumer: Arc<BaseConsumer<Context>> = Arc::new(open(&config.question())?);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut told = String::new();
    while !stop.is_cancelled() {
        let (asked, name) = (consumer.clone(), topic.to_owned());
        match tokio::task::spawn_blocking(move || marks(&asked, &name)).await? {
            Ok(found) => return Ok(Some(found)),
            Err(unanswered) if unanswered.reason != told => {
                report(topic, &unanswered);
                told = unanswered.reason;
            }
            Err(_) => {}
        }
        backoff.wait(stop).await;
    }
    Ok(None)
}

fn report(topic: &str, unanswered: &Unanswered) {
    match unanswered.error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => info!("waiting for topic {topic}: {unanswered}"),
        _ => warn!("waiting for topic {topic}: {unanswered}"),
    }
}
