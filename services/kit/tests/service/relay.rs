//! The relay, with an outbox whose records can be missing, too large, or impossible to measure.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use comanda_kit::{
    kafka,
    lease::{Elector, Lease},
    postgres::{self, StoreError},
    relay::{Outbox, Outgoing, Pointer, Relay},
    shutdown::Tasks,
    testing::{Environment, Logs, eventually},
};
use comanda_proto::topics;
use rdkafka::{
    message::OwnedHeaders,
    producer::{FutureProducer, FutureRecord},
};
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::broker::Broker;

const TOPIC: &str = topics::ORDERS;

/// What pointers point at.
#[derive(Clone, Default)]
struct Records {
    missing: Arc<Mutex<HashSet<Uuid>>>,
    too_large: Arc<Mutex<HashSet<Uuid>>>,
    cannot_be_measured: bool,
}

#[async_trait]
impl Outbox for Records {
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError> {
        let (missing, too_large) = (self.missing.lock().expect("no panic"), self.too_large.lock().expect("no panic"));
        let there = pointers.iter().filter(|pointer| !missing.contains(&pointer.key));
        let outgoing = there.map(|&Pointer { key, version }| {
            let bytes = if too_large.contains(&key) { 2_000_000 } else { 1 };
            Outgoing { key, version, headers: OwnedHeaders::new(), payload: vec![version as u8; bytes] }
        });
        Ok(outgoing.collect())
    }

    async fn oldest_seconds(&self) -> Result<f64, StoreError> {
        if self.cannot_be_measured {
            return Err(StoreError::TooSlow("a large outbox".into()));
        }
        Ok(0.0)
    }
}

struct Fixture {
    environment: Environment,
    sql: PgPool,
    pool: PgPool,
}

impl Fixture {
    async fn new() -> Result<Self> {
        Self::with(Environment::new().await?).await
    }

    async fn with(environment: Environment) -> Result<Self> {
        let (sql, pool) = (environment.sql().await?, postgres::pool(&environment.postgres, "ordering")?);
        Ok(Self { environment, sql, pool })
    }

    fn relay(&self, records: &Records) -> Result<Relay<Records>> {
        let kafka = self.environment.kafka.clone();
        let topic = kafka.topic(TOPIC);
        Relay::new(self.pool.clone(), records.clone(), kafka, topic, Arc::new(Notify::new()))
    }

    async fn lead(&self) -> Result<Lease> {
        Elector::new(self.pool.clone()).ask().await?.context("another replica leads")
    }

    /// Runs a relay as a service does.
    fn run(&self, records: &Records, tasks: &Tasks) -> Result<()> {
        let (relay, elector, stop) = (self.relay(records)?, Elector::new(self.pool.clone()), tasks.stop_token());
        tasks.spawn("relay", async move {
            elector.while_working(relay.run(elector.clone(), stop)).await;
            Ok(())
        });
        Ok(())
    }

    async fn point_at(&self, keys: &[Uuid], versions: i64) -> Result<()> {
        let statement = "INSERT INTO ordering.outbox (order_id, version)
                         SELECT key, version FROM unnest($1::uuid[]) AS k (key), generate_series(1, $2) AS v (version)";
        sqlx::query(statement).bind(keys).bind(versions).execute(&self.sql).await?;
        Ok(())
    }

    async fn waiting(&self) -> BTreeSet<Uuid> {
        let keys: Vec<Uuid> = sqlx::query_scalar("SELECT DISTINCT order_id FROM ordering.outbox")
            .fetch_all(&self.sql)
            .await
            .expect("an outbox");
        keys.into_iter().collect()
    }

    async fn only_waits(&self, what: &str, keys: &BTreeSet<Uuid>) {
        eventually(what, || async { (self.waiting().await == *keys).then_some(()) }).await;
    }
}

/// Keys in ascending order.
fn keys(from: u128, count: u128) -> Vec<Uuid> {
    (from..from + count).map(|number| Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number)).collect()
}

#[tokio::test]
async fn an_outbox_that_cannot_be_measured_is_published() -> Result<()> {
    let (fixture, tasks) = (Fixture::new().await?, Tasks::new());
    let records = Records { cannot_be_measured: true, ..Records::default() };
    fixture.point_at(&keys(0, 50), 2).await?;
    fixture.run(&records, &tasks)?;
    fixture.only_waits("everything is published", &BTreeSet::new()).await;
    assert_eq!(fixture.environment.records(TOPIC).await?.len(), 100);
    tasks.stop_token().cancel();
    tasks.run().await
}

#[tokio::test]
async fn pointers_without_a_record_are_deleted_and_hold_up_nothing() -> Result<()> {
    let (logs, _guard) = Logs::catch();
    let (fixture, records) = (Fixture::new().await?, Records::default());
    let (dangling, good) = (keys(0, 2500), keys(5000, 10));
    records.missing.lock().expect("no panic").extend(&dangling);
    fixture.point_at(&dangling, 1).await?;
    fixture.point_at(&good, 1).await?;
    let mut relay = fixture.relay(&records)?;
    assert_eq!(relay.publish_next(fixture.lead().await?).await?, 10, "the first round gets past the dangling ones");
    assert_eq!(fixture.waiting().await, BTreeSet::new());
    assert_eq!(logs.count("pointers without a record were deleted"), 3);
    Ok(())
}

#[tokio::test]
async fn a_former_leader_deletes_no_dangling_pointer() -> Result<()> {
    let (fixture, records) = (Fixture::new().await?, Records::default());
    let dangling = keys(0, 3);
    records.missing.lock().expect("no panic").extend(&dangling);
    fixture.point_at(&dangling, 1).await?;
    let former = fixture.lead().await?;
    sqlx::query("UPDATE ordering.lease SET epoch = epoch + 1").execute(&fixture.sql).await?;
    assert_eq!(fixture.relay(&records)?.publish_next(former).await?, 0);
    assert_eq!(fixture.waiting().await.len(), 3);
    Ok(())
}

#[tokio::test]
async fn records_that_kafka_refuses_keep_no_others_waiting() -> Result<()> {
    let (fixture, records, tasks) = (Fixture::new().await?, Records::default(), Tasks::new());
    let (refused, good) = (keys(0, 1100), keys(5000, 20));
    records.too_large.lock().expect("no panic").extend(&refused);
    fixture.point_at(&refused, 1).await?;
    fixture.point_at(&good, 3).await?;
    fixture.run(&records, &tasks)?;
    let refused: BTreeSet<_> = refused.into_iter().collect();
    fixture.only_waits("only what is refused waits", &refused).await;
    records.too_large.lock().expect("no panic").clear();
    fixture.only_waits("what was refused is tried again", &BTreeSet::new()).await;
    tasks.stop_token().cancel();
    tasks.run().await
}

#[tokio::test]
async fn a_partition_without_a_leader_keeps_no_other_waiting() -> Result<()> {
    let mut environment = Environment::without_topics().await?;
    let broker = Broker::start(&environment.kafka.topic(TOPIC), 3)?;
    environment.kafka.kafka_bootstrap_servers = broker.bootstrap_servers.clone();
    let (fixture, records, tasks) = (Fixture::with(environment).await?, Records::default(), Tasks::new());
    let partitions = partitions(&fixture.environment.kafka, [keys(0, 6000), keys(10_000, 300)].concat()).await?;
    // More than one batch of the dead partition comes first.
    let (head, others) = (keys(0, 6000), keys(10_000, 300));
    let head: Vec<_> = head.into_iter().filter(|key| partitions[key] == 1).collect();
    assert!(head.len() > 1500, "{}", head.len());
    let dead: BTreeSet<_> = head.iter().chain(others.iter().filter(|key| partitions[*key] == 1)).copied().collect();
    fixture.point_at(&[head, others].concat(), 3).await?;
    broker.lead(1, false)?;
    fixture.run(&records, &tasks)?;
    fixture.only_waits("only the dead partition's records wait", &dead).await;
    let later = keys(20_000, 60);
    fixture.point_at(&later, 2).await?;
    eventually("later records of the other partitions are published", || async {
        let waiting = fixture.waiting().await;
        (later.iter().filter(|key| waiting.contains(*key)).count() < 40).then_some(())
    })
    .await;

    broker.lead(1, true)?;
    fixture.only_waits("everything is published", &BTreeSet::new()).await;
    tasks.stop_token().cancel();
    tasks.run().await?;
    versions_rise(fixture.environment.records(TOPIC).await?)
}

/// The partition that Kafka's client chooses for each key. The records are another topic's.
async fn partitions(kafka: &kafka::Config, keys: Vec<Uuid>) -> Result<BTreeMap<Uuid, i32>> {
    let broker = Broker::start("probe", 3)?;
    let config = kafka::Config { kafka_bootstrap_servers: broker.bootstrap_servers.clone(), ..kafka.clone() };
    let producer: FutureProducer = config.producer().create()?;
    let mut sent = Vec::new();
    for key in keys {
        let text = key.to_string();
        let record = FutureRecord::to("probe").key(&text).payload("");
        sent.push((key, producer.send_result(record).map_err(|(error, _)| error)?));
    }
    let mut partitions = BTreeMap::new();
    for (key, delivery) in sent {
        partitions.insert(key, delivery.await?.map_err(|(error, _)| error)?.partition);
    }
    Ok(partitions)
}

fn versions_rise(records: Vec<comanda_kit::testing::Published>) -> Result<()> {
    let mut last: BTreeMap<String, u8> = BTreeMap::new();
    for record in records {
        let version = record.payload[0];
        let before = last.insert(record.key.clone(), version).unwrap_or(0);
        assert!(version == before + 1, "{}: version {version} after {before}", record.key);
    }
    Ok(())
}
