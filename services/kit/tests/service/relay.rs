//! The relay, with an outbox whose records can be missing or too large.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use comanda_kit::{
    kafka,
    lease::{Elector, Lease},
    point_at,
    postgres::{self, StoreError},
    put_back,
    relay::{MOST_COUNTED, Operator, Outbox, Outgoing, Pointer, Relay},
    shutdown::Tasks,
    testing::{Environment, Logs, eventually},
};
use comanda_proto::topics;
use rdkafka::{
    message::OwnedHeaders,
    producer::{FutureProducer, FutureRecord},
};
use sqlx::PgPool;
use tokio::{
    sync::Notify,
    time::{Duration, timeout},
};
use uuid::Uuid;

use crate::broker::Broker;

const TOPIC: &str = topics::ORDERS;
/// Several times as many rounds as a relay takes that does not care what it goes past.
const ROUNDS: usize = 40;
/// For what comes about by rounds and by the work of others.
const PATIENCE: Duration = Duration::from_secs(60);

/// What pointers point at. A record's payload is its version.
#[derive(Clone, Default)]
struct Records {
    missing: Arc<Mutex<HashSet<Uuid>>>,
    too_large: Arc<Mutex<HashSet<Uuid>>>,
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

    /// Points at versions 1 and so on of each key, as statements do that write one version of all of them.
    async fn point_at(&self, keys: &[Uuid], versions: i64) -> Result<()> {
        for version in 1..=versions {
            self.point_at_version(keys, version).await?;
        }
        Ok(())
    }

    async fn point_at_version(&self, keys: &[Uuid], version: i64) -> Result<()> {
        let query = point_at!("SELECT order_id, $2::bigint AS version FROM unnest($1::uuid[]) AS k (order_id)");
        sqlx::query(query).bind(keys).bind(version).execute(&self.pool).await?;
        Ok(())
    }

    /// The rows of the outbox: number, keys and versions.
    async fn rows(&self) -> Result<Vec<(i64, Vec<Uuid>, Vec<i64>)>> {
        let rows = sqlx::query_as("SELECT seq, order_ids, versions FROM ordering.outbox ORDER BY seq");
        Ok(rows.fetch_all(&self.sql).await?)
    }

    async fn waiting(&self) -> BTreeSet<Uuid> {
        let keys: Vec<Uuid> = sqlx::query_scalar("SELECT DISTINCT unnest(order_ids) FROM ordering.outbox")
            .fetch_all(&self.sql)
            .await
            .expect("an outbox");
        keys.into_iter().collect()
    }

    /// Publishes round by round until exactly these keys wait; false if they do not after so many rounds.
    async fn waits_within(
        &self,
        relay: &mut Relay<Records>,
        lease: Lease,
        rounds: usize,
        keys: &BTreeSet<Uuid>,
    ) -> bool {
        for _ in 0..rounds {
            // Fails where nothing that was sent was acked.
            let _ = relay.publish_next(lease).await;
            if self.waiting().await == *keys {
                return true;
            }
        }
        false
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
    let records = Records::default();
    fixture.point_at(&keys(0, 50), 2).await?;
    sqlx::query("UPDATE ordering.outbox SET create_time = 'infinity'").execute(&fixture.sql).await?;
    assert!(Operator::new(fixture.pool.clone()).oldest_seconds().await.is_err());
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
async fn a_row_keeps_what_is_not_published_and_its_place() -> Result<()> {
    let (logs, _guard) = Logs::catch();
    let (fixture, records) = (Fixture::new().await?, Records::default());
    let [dangling, refused, good] = keys(0, 3)[..] else { panic!("three keys") };
    records.missing.lock().expect("no panic").insert(dangling);
    records.too_large.lock().expect("no panic").insert(refused);
    fixture.point_at(&[dangling, refused, good], 2).await?;
    let mut relay = fixture.relay(&records)?;
    let lease = fixture.lead().await?;
    assert_eq!(relay.publish_next(lease).await?, 1);
    let rest = |seq, keys: &[Uuid], version: i64| (seq, keys.to_vec(), vec![version; keys.len()]);
    let second = rest(2, &[dangling, refused, good], 2);
    assert_eq!(fixture.rows().await?, [rest(1, &[refused], 1), second], "one version of a key at a time");
    assert_eq!(relay.publish_next(lease).await?, 1);
    assert_eq!(fixture.rows().await?, [rest(1, &[refused], 1), rest(2, &[refused], 2)]);
    assert_eq!(logs.count("pointers without a record were deleted"), 2);

    // A new leader knows nothing of what was refused.
    records.too_large.lock().expect("no panic").clear();
    let mut relay = fixture.relay(&records)?;
    assert_eq!(relay.publish_next(lease).await?, 1);
    assert_eq!(relay.publish_next(lease).await?, 1);
    assert_eq!(fixture.rows().await?, []);
    versions_rise(fixture.environment.records(TOPIC).await?)
}

#[tokio::test]
async fn a_former_leader_keeps_rows_as_they_are() -> Result<()> {
    let (fixture, records) = (Fixture::new().await?, Records::default());
    let all = keys(0, 3);
    records.too_large.lock().expect("no panic").insert(all[0]);
    fixture.point_at(&all, 1).await?;
    let former = fixture.lead().await?;
    sqlx::query("UPDATE ordering.lease SET epoch = epoch + 1").execute(&fixture.sql).await?;
    let mut relay = fixture.relay(&records)?;
    assert!(relay.publish_next(former).await.is_err(), "it must see that it leads no more");
    assert_eq!(fixture.rows().await?, [(1, all, vec![1; 3])]);
    Ok(())
}

#[tokio::test]
async fn what_is_put_back_goes_first_and_begins_with_version_1() -> Result<()> {
    let (fixture, records) = (Fixture::new().await?, Records::default());
    let all = keys(0, 100);
    // Versions 4 are still to be published, 5 comes later.
    fixture.point_at_version(&all, 4).await?;
    let again = put_back!(
        "outbox",
        "SELECT order_id, version FROM unnest($1::uuid[]) AS k (order_id), generate_series(4::bigint, 1, -1) AS v (version)"
    );
    sqlx::query(again).bind(&all).execute(&fixture.pool).await?;
    fixture.point_at_version(&all, 5).await?;
    let (mut relay, lease) = (fixture.relay(&records)?, fixture.lead().await?);
    while relay.publish_next(lease).await? > 0 {}
    let mut told: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for record in fixture.environment.records(TOPIC).await? {
        told.entry(record.key).or_default().push(record.payload[0]);
    }
    assert_eq!(told.len(), 100);
    told.values().for_each(|versions| assert_eq!(*versions, [1, 2, 3, 4, 4, 5]));
    Ok(())
}

#[tokio::test]
async fn an_outbox_is_measured_up_to_a_bound() -> Result<()> {
    let fixture = Fixture::new().await?;
    let operator = Operator::new(fixture.pool.clone());
    assert_eq!((operator.count().await?, operator.oldest_seconds().await?), (0, 0.0));
    assert_eq!(operator.waiting().await?, Some(HashSet::new()));
    let some = keys(0, 100);
    fixture.point_at(&some, 2).await?;
    let aged = "UPDATE ordering.outbox SET create_time = create_time - interval '1 minute' WHERE seq = 2";
    sqlx::query(aged).execute(&fixture.sql).await?;
    sqlx::query(put_back!("outbox", "SELECT $1::uuid AS order_id, 1::bigint AS version"))
        .bind(some[0])
        .execute(&fixture.pool)
        .await?;
    assert_eq!(operator.count().await?, 201);
    assert!(operator.oldest_seconds().await? < 60.0, "it is the first that counts");
    sqlx::query("DELETE FROM ordering.outbox WHERE seq = 1").execute(&fixture.sql).await?;
    assert!(operator.oldest_seconds().await? >= 60.0, "put back or not");
    assert_eq!(operator.waiting().await?, Some(some.into_iter().collect()));
    fixture.point_at(&keys(1000, MOST_COUNTED as u128), 1).await?;
    assert_eq!((operator.count().await?, operator.waiting().await?), (MOST_COUNTED, None));
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

/// The relay goes past a long head of records that cannot be published. A row that becomes visible there later is not passed by.
#[tokio::test]
async fn a_row_that_is_committed_late_goes_before_later_versions_though_a_long_head_is_passed_by() -> Result<()> {
    let mut environment = Environment::without_topics().await?;
    let broker = Broker::start(&environment.kafka.topic(TOPIC), 3)?;
    environment.kafka.kafka_bootstrap_servers = broker.bootstrap_servers.clone();
    let (fixture, records, tasks) = (Fixture::with(environment).await?, Records::default(), Tasks::new());
    let (head, others) = (keys(0, 20_000), keys(30_000, 200));
    let partitions = partitions(&fixture.environment.kafka, [head.clone(), others.clone()].concat()).await?;
    let dead: Vec<_> = head.into_iter().filter(|key| partitions[key] == 1).collect();
    let (late, others): (Vec<_>, Vec<_>) =
        others.into_iter().filter(|key| partitions[key] != 1).enumerate().partition(|(place, _)| *place < 50);
    let (late, others): (Vec<_>, Vec<_>) =
        (late.into_iter().map(|(_, key)| key).collect(), others.into_iter().map(|(_, key)| key).collect());
    assert!(dead.len() > 6000, "{}", dead.len());

    let mut transaction = fixture.pool.begin().await?;
    let query = point_at!("SELECT order_id, 1::bigint AS version FROM unnest($1::uuid[]) AS k (order_id)");
    sqlx::query(query).bind(&late).execute(&mut *transaction).await?;
    fixture.point_at(&dead, 1).await?;
    broker.lead(1, false)?;
    fixture.point_at(&others, 1).await?;
    let (mut relay, lease) = (fixture.relay(&records)?, fixture.lead().await?);
    let behind: BTreeSet<_> = dead.iter().copied().collect();
    let is_passed = fixture.waits_within(&mut relay, lease, ROUNDS, &behind).await;
    assert!(!is_passed, "the head is passed by though a row in it may still become visible");
    transaction.commit().await?;
    fixture.point_at_version(&late, 2).await?;
    // When it is final depends on every transaction of the server.
    let passing = fixture.waits_within(&mut relay, lease, usize::MAX, &behind);
    assert!(timeout(PATIENCE, passing).await?, "only the dead partition's records wait");
    drop(relay);
    broker.lead(1, true)?;
    fixture.run(&records, &tasks)?;
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
