//! What tests share: databases and topics of their own on the real servers that `scripts/test` starts, replicas of services in
//! this process, and ways to look at what they did.

use std::{collections::BTreeMap, env, future::Future, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{Args, Command};
use comanda_proto::topics;
use rdkafka::{
    Message,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
    producer::{FutureProducer, FutureRecord},
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use self::logs::show_logs;
pub use self::{logs::Logs, replica::Replica};
use crate::{kafka, postgres, secret::Secret};

pub mod certificates;
mod databases;
mod logs;
pub mod outside;
pub mod provider;
mod replica;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;

/// A fresh database and fresh topics.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Settings of the database, which is migrated.
    pub postgres: postgres::Config,
    /// Settings of Kafka, whose topics exist, with three partitions.
    pub kafka: kafka::Config,
}

impl Environment {
    /// Makes both.
    pub async fn new() -> Result<Self> {
        let environment = Self::without_topics().await?;
        environment.create_topics().await?;
        Ok(environment)
    }

    /// Makes the database, and names for topics.
    pub async fn without_topics() -> Result<Self> {
        show_logs();
        let server = server("COMANDA_TEST_DATABASE_URL", "postgres://comanda@127.0.0.1:5433/comanda");
        let name = databases::name();
        databases::create(&server, &name).await?;
        let (base, _) = server.rsplit_once('/').context("the database's URL has no name")?;
        let postgres = postgres::Config { database_connections: 5, ..postgres::Config::at(format!("{base}/{name}")) };
        let (migrated, dropped) = tokio::join!(postgres::migrate(&postgres), databases::drop_an_ended_one(&server));
        migrated?;
        dropped?;
        let kafka = kafka::Config {
            kafka_bootstrap_servers: server_list(),
            topic_prefix: format!("{name}."),
            fetch_wait_ms: kafka::DEFAULT_FETCH_WAIT_MS,
            outbox_cache_mib: kafka::DEFAULT_OUTBOX_CACHE_MIB,
            kafka_config: Vec::new(),
            kafka_config_file: None,
            security: security(),
        };
        Ok(Self { postgres, kafka })
    }

    /// Makes the topics.
    pub async fn create_topics(&self) -> Result<()> {
        for topic in [topics::ORDERS, topics::ORDER_TRANSITIONS] {
            self.create_topic(topic).await?;
        }
        Ok(())
    }

    /// Makes one topic.
    pub async fn create_topic(&self, topic: &str) -> Result<()> {
        let settings = kafka::TopicConfig { partitions: PARTITIONS, replication_factor: 1 };
        kafka::create_topic(&self.kafka, &self.kafka.topic(topic), &settings).await?;
        Ok(())
    }

    /// Raises the number of a topic's partitions, as an operator may while everything runs.
    pub async fn add_partitions(&self, topic: &str, count: usize) -> Result<()> {
        let topic = self.kafka.topic(topic);
        let admin: AdminClient<DefaultClientContext> = self.kafka.producer().create()?;
        for result in admin.create_partitions(&[NewPartitions::new(&topic, count)], &AdminOptions::new()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic} has no more partitions: {code}"))?;
        }
        Ok(())
    }

    /// Deletes one topic with its records, and waits until it is gone.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let topic = self.kafka.topic(topic);
        let admin: AdminClient<DefaultClientContext> = self.kafka.producer().create()?;
        for result in admin.delete_topics(&[&topic], &AdminOptions::new()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic} was not deleted: {code}"))?;
        }
        let admin = Arc::new(admin);
        eventually("the topic is gone", || {
            let (admin, topic) = (admin.clone(), topic.clone());
            async move {
                let found = tokio::task::spawn_blocking(move || kafka::watermarks(admin.inner(), &topic)).await;
                found.expect("does not panic").is_err().then_some(())
            }
        })
        .await;
        Ok(())
    }

    /// The database as nobody's own: with Postgres's settings, for looking and for meddling.
    pub async fn sql(&self) -> Result<PgPool> {
        let options = PgConnectOptions::from_str(&self.postgres.database_url)?.application_name("test");
        Ok(PgPoolOptions::new().max_connections(5).connect_with(options).await?)
    }

    /// Forgets what was read so far, for [`reads`](Self::reads). The test's own connections are closed first: a session counts what it
    /// read only when it reports, which may be a second later, and it reports when it ends.
    pub async fn forget_reads(&self) -> Result<()> {
        let sql = self.sql().await?;
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE datname = current_database() AND application_name = 'test' AND pid <> pg_backend_pid()";
        eventually("the test's connections are closed", || async {
            sqlx::query(others).fetch_all(&sql).await.ok()?.is_empty().then_some(())
        })
        .await;
        sqlx::query("SELECT pg_stat_reset()").execute(&sql).await?;
        Ok(())
    }

    /// How many entries of each table and index were read since [`forget_reads`](Self::forget_reads), once every connection of a service
    /// is closed and has reported. It tells what plans were run.
    pub async fn reads(&self) -> Result<Vec<(String, i64)>> {
        let sql = self.sql().await?;
        eventually("the service's connections are closed", || async {
            let open = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'comanda-%'";
            let open: i64 = sqlx::query_scalar(open).fetch_one(&sql).await.ok()?;
            (open == 0).then_some(())
        })
        .await;
        let reads = "SELECT schemaname || '.' || relname, seq_tup_read FROM pg_stat_user_tables
                     UNION ALL
                     SELECT schemaname || '.' || indexrelname, idx_tup_read FROM pg_stat_user_indexes";
        Ok(sqlx::query_as(reads).fetch_all(&sql).await?)
    }

    /// Writes records of key and payload to a topic, as anybody might.
    pub async fn produce(&self, topic: &str, records: &[(String, Vec<u8>)]) -> Result<()> {
        let (topic, producer) = (self.kafka.topic(topic), self.kafka.producer().create::<FutureProducer>()?);
        let mut deliveries = Vec::new();
        for (key, payload) in records {
            let record = FutureRecord::to(&topic).key(key).payload(payload);
            deliveries.push(producer.send_result(record).map_err(|(error, _)| error)?);
        }
        for delivery in deliveries {
            delivery.await?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Every record of a topic up to its present end, in the order of each partition.
    pub async fn records(&self, topic: &str) -> Result<Vec<Published>> {
        let (topic, settings) = (self.kafka.topic(topic), self.kafka.free_consumer());
        tokio::task::spawn_blocking(move || read_to_end(&settings.create()?, &topic)).await?
    }
}

/// A record as it lies on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Published {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub payload: Vec<u8>,
}

impl Published {
    /// The payload as an event.
    pub fn event<E: topics::Event>(&self) -> E {
        E::decode(&*self.payload).expect("the payload is this event")
    }
}

fn read_to_end(consumer: &BaseConsumer, topic: &str) -> Result<Vec<Published>> {
    let watermarks = kafka::watermarks(consumer.client(), topic)?;
    let wanted: i64 = watermarks.values().map(|(low, end)| end - low).sum();
    let starts = watermarks.into_iter().map(|(partition, (low, _))| (partition, low)).collect();
    consumer.assign(&kafka::assignment(topic, &starts)?)?;
    let mut records = Vec::new();
    while (records.len() as i64) < wanted {
        let Some(message) = consumer.poll(PATIENCE) else { bail!("{topic} ended before its end") };
        let message = message?;
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        records.push(Published {
            partition: message.partition(),
            offset: message.offset(),
            key: text(message.key()),
            headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
            payload: message.payload().unwrap_or_default().to_vec(),
        });
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn server_list() -> String {
    server("COMANDA_TEST_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
}

/// How a secured broker is reached (`scripts/kafka start --secure`); an ordinary one where the variables are not set.
fn security() -> kafka::Security {
    let file = |name: &str| env::var_os(name).map(PathBuf::from);
    let password = file("COMANDA_TEST_KAFKA_PASSWORD_FILE").and_then(|file| std::fs::read_to_string(file).ok());
    kafka::Security {
        kafka_ca: file("COMANDA_TEST_KAFKA_CA"),
        kafka_user: env::var("COMANDA_TEST_KAFKA_USER").ok(),
        kafka_password_file: password.map(|text| Secret::new(text.trim())),
        ..kafka::Security::default()
    }
}

fn server(variable: &str, default: &str) -> String {
    env::var(variable).unwrap_or_else(|_| default.into())
}

/// Panics where two settings have the same flag, or contradict each other in another way.
pub fn check_settings<A: Args>() {
    A::augment_args(Command::new("test")).debug_assert();
}

/// Waits until `condition` gives something, looking again and again; panics with `what` when it does not come about.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
