//! Members of a consumer group, on a real Kafka.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::Result;
use async_trait::async_trait;
use comanda_kit::{
    consumer::{Consumer, Handler},
    kafka::Record,
    postgres::{self, StoreError},
    shutdown::Tasks,
    testing::{Environment, eventually},
};
use comanda_proto::topics;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

const TOPIC: &str = topics::ORDERS;
const GROUP: &str = "test";

/// Counts how often each key was applied; while it is frozen, nothing is.
#[derive(Clone, Default)]
struct Counted {
    is_frozen: Arc<AtomicBool>,
    was_asked: Arc<AtomicBool>,
    applied: Arc<Mutex<BTreeMap<String, usize>>>,
}

#[async_trait]
impl Handler for Counted {
    async fn topic_epoch(&self) -> Result<i64, StoreError> {
        Ok(1)
    }

    async fn apply(&self, _: i64, records: &[Record]) -> Result<(), StoreError> {
        self.was_asked.store(true, SeqCst);
        if self.is_frozen.load(SeqCst) {
            return Err(StoreError::Busy);
        }
        let mut applied = self.applied.lock().expect("no panic");
        for record in records {
            *applied.entry(String::from_utf8_lossy(&record.key).into_owned()).or_default() += 1;
        }
        Ok(())
    }
}

impl Counted {
    fn keys(&self) -> usize {
        self.applied.lock().expect("no panic").len()
    }
}

fn with_setting(mut environment: Environment, settings: &[&str]) -> Environment {
    environment.kafka.kafka_config = settings.iter().map(|text| text.parse().expect("a setting")).collect();
    environment
}

fn start(environment: &Environment, handler: &Counted, tasks: &Tasks) -> Result<()> {
    let consumer = Consumer {
        group: GROUP,
        topic: environment.kafka.topic(TOPIC),
        kafka: environment.kafka.clone(),
        pool: postgres::pool(&environment.postgres, "ordering")?,
        handler: handler.clone(),
    };
    tasks.spawn("consumer", consumer.run(tasks.stop_token()));
    Ok(())
}

async fn stop(tasks: Tasks) -> Result<()> {
    tasks.stop_token().cancel();
    tasks.run().await
}

fn records(prefix: &str, count: usize) -> Vec<(String, Vec<u8>)> {
    (0..count).map(|number| (format!("{prefix}-{number}"), b"payload".to_vec())).collect()
}

/// How many members the group has, as the broker knows.
async fn members(environment: &Environment) -> Option<usize> {
    let group = format!("{GROUP}-{}-e1", environment.kafka.topic(TOPIC));
    let settings = environment.kafka.free_consumer();
    let ask = move || -> Result<usize> {
        let consumer: BaseConsumer = settings.create()?;
        let list = consumer.client().fetch_group_list(Some(&group), Duration::from_secs(5))?;
        Ok(list.groups().iter().map(|group| group.members().len()).sum())
    };
    tokio::task::spawn_blocking(ask).await.ok()?.ok()
}

#[tokio::test]
async fn partitions_that_are_added_are_consumed() -> Result<()> {
    let environment = with_setting(Environment::new().await?, &["topic.metadata.refresh.interval.ms=500"]);
    let (handler, tasks) = (Counted::default(), Tasks::new());
    start(&environment, &handler, &tasks)?;
    environment.produce(TOPIC, &records("before", 20)).await?;
    eventually("the first records are applied", || async { (handler.keys() == 20).then_some(()) }).await;
    environment.add_partitions(TOPIC, 9).await?;
    environment.produce(TOPIC, &records("after", 100)).await?;
    let published = environment.records(TOPIC).await?;
    assert!(published.iter().any(|record| record.partition >= 3), "some records are in the new partitions");
    eventually("all records are applied", || async { (handler.keys() == 120).then_some(()) }).await;
    stop(tasks).await
}

#[tokio::test]
async fn a_member_that_was_held_up_for_too_long_joins_again_and_applies_everything() -> Result<()> {
    // The shortest times that the broker admits.
    let settings = ["session.timeout.ms=6000", "max.poll.interval.ms=6000"];
    let environment = with_setting(Environment::new().await?, &settings);
    let (handler, tasks) = (Counted::default(), Tasks::new());
    start(&environment, &handler, &tasks)?;
    environment.produce(TOPIC, &records("calm", 20)).await?;
    eventually("the calm records are applied", || async { (handler.keys() == 20).then_some(()) }).await;

    handler.is_frozen.store(true, SeqCst);
    handler.was_asked.store(false, SeqCst);
    environment.produce(TOPIC, &records("held", 20)).await?;
    eventually("a batch waits", || async { handler.was_asked.load(SeqCst).then_some(()) }).await;
    eventually("the member has lost its place", || async { (members(&environment).await? == 0).then_some(()) }).await;
    environment.produce(TOPIC, &records("late", 20)).await?;
    handler.is_frozen.store(false, SeqCst);
    eventually("all records are applied", || async { (handler.keys() == 60).then_some(()) }).await;
    eventually("the member is back", || async { (members(&environment).await? == 1).then_some(()) }).await;
    stop(tasks).await?;

    // What was committed is not read again by the next member.
    let (next, tasks) = (Counted::default(), Tasks::new());
    start(&environment, &next, &tasks)?;
    environment.produce(TOPIC, &records("next", 5)).await?;
    eventually("the next records are applied", || async { (next.keys() >= 5).then_some(()) }).await;
    assert!(next.applied.lock().expect("no panic").keys().all(|key| key.starts_with("next")));
    stop(tasks).await
}
