//! How far the consumer groups are behind the ends of their topics.

use std::time::Duration;

use anyhow::Result;
use comanda_checker::history::{Topic, What};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    Logs, TOPICS, full_name,
    records::{client, partitions},
};
use crate::{cluster::Endpoints, recorder::Recorder};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How far one group is behind in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The group's name.
    pub group: String,
    /// The topic that it reads.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// Records that it has not yet said to have taken.
    pub records: i64,
}

/// Writes all of them down.
pub(super) async fn dump(endpoints: &Endpoints, logs: Logs, recorder: &Recorder) -> Result<()> {
    for Lag { group, topic, partition, records } in read(endpoints, logs).await? {
        recorder.record(What::Lag { group, topic, partition, records });
    }
    Ok(())
}

/// Asks for all of them.
pub(super) async fn read(endpoints: &Endpoints, logs: Logs) -> Result<Vec<Lag>> {
    let mut lags = Vec::new();
    for topic in TOPICS {
        let (settings, name) = (client(endpoints), full_name(endpoints, topic));
        let group = format!("{}-{name}-e{}", reader(topic), logs.of(topic));
        lags.extend(tokio::task::spawn_blocking(move || of_group(settings, group, &name, topic)).await??);
    }
    Ok(lags)
}

/// What the group of a topic's consumers is called, before topic and epoch.
fn reader(topic: Topic) -> &'static str {
    match topic {
        Topic::Orders => "comanda-state-machine",
        Topic::Transitions => "comanda-notification-mail",
    }
}

/// Blocks.
fn of_group(mut settings: ClientConfig, group: String, name: &str, topic: Topic) -> Result<Vec<Lag>> {
    let consumer: BaseConsumer = settings.set("group.id", &group).create()?;
    let partitions = partitions(&consumer, name)?;
    let mut asked = TopicPartitionList::new();
    partitions.iter().for_each(|partition| _ = asked.add_partition(name, *partition));
    let committed = consumer.committed_offsets(asked, REQUEST_TIMEOUT)?;
    let lags = partitions.into_iter().map(|partition| {
        let (first, next) = consumer.fetch_watermarks(name, partition, REQUEST_TIMEOUT)?;
        let reached = match committed.find_partition(name, partition).map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => first,
        };
        Ok(Lag { group: group.clone(), topic, partition, records: next - reached })
    });
    lags.collect()
}
