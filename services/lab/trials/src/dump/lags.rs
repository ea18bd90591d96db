//! How far the consumer groups are behind the ends of their topics.

use std::time::Duration;

use anyhow::Result;
use comanda_checker::history::{Topic, What};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use sqlx::PgPool;

use super::{
    Logs, full_name,
    records::{client, partitions},
};
use crate::{
    cluster::{Endpoints, Role},
    recorder::Recorder,
};

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
    for (topic, reader, role) in READERS {
        if !endpoints.has(role) {
            continue;
        }
        let (settings, name) = (client(endpoints), full_name(endpoints, topic));
        let group = format!("{reader}-{name}-e{}", logs.of(topic));
        lags.extend(tokio::task::spawn_blocking(move || of_group(settings, group, &name, topic)).await??);
    }
    Ok(lags)
}

/// What the groups of a topic's consumers are called, before topic and epoch, and whose they are.
pub const READERS: [(Topic, &str, Role); 4] = [
    (Topic::Orders, "comanda-state-machine", Role::StateMachine),
    (Topic::Transitions, "comanda-notification-mail", Role::Notification),
    (Topic::Transitions, "comanda-dispatch", Role::Dispatch),
    (Topic::Assignments, "comanda-state-machine-steps", Role::StateMachine),
];

/// What analytics has not counted. It keeps its offsets beside its numbers, in no group.
pub(super) async fn uncounted(endpoints: &Endpoints, pool: &PgPool) -> Result<Vec<Lag>> {
    let statement = "SELECT topic, partition, next_offset FROM analytics.offsets";
    let counted: Vec<(String, i32, i64)> = sqlx::query_as(statement).fetch_all(pool).await?;
    let mut lags = Vec::new();
    for topic in [Topic::Transitions, Topic::Assignments] {
        let (settings, name) = (client(endpoints), full_name(endpoints, topic));
        let short = name.trim_start_matches(&endpoints.topic_prefix).to_owned();
        let ends = tokio::task::spawn_blocking(move || ends(&settings, &name)).await??;
        for (partition, next) in ends {
            let reached = counted.iter().find(|(of, at, _)| (of, *at) == (&short, partition));
            let records = next - reached.map_or(0, |(.., offset)| *offset);
            lags.push(Lag { group: "analytics".into(), topic, partition, records });
        }
    }
    Ok(lags)
}

/// Where each partition ends. Blocks.
fn ends(settings: &ClientConfig, name: &str) -> Result<Vec<(i32, i64)>> {
    let consumer: BaseConsumer = settings.create()?;
    let partitions = partitions(&consumer, name)?.into_iter();
    let end = |partition| Ok((partition, consumer.fetch_watermarks(name, partition, REQUEST_TIMEOUT)?.1));
    partitions.map(end).collect()
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
