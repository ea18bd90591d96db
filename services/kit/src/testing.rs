//! What tests share: databases and topics of their own on the real servers that `scripts/test` starts, replicas of services in
//! this process, and ways to look at what they did.

use std::{
    collections::BTreeMap,
    env,
    future::Future,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

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
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

use crate::{
    access::Access,
    kafka, postgres,
    secret::Secret,
    server::{self, Endpoint, Listener},
    shutdown::Tasks,
};

pub mod certificates;
mod databases;
pub mod outside;
pub mod provider;

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

/// A replica of a service, on a port of its own.
pub struct Replica {
    /// Where it listens.
    pub address: SocketAddr,
    tasks: Tasks,
}

impl Replica {
    /// Serves what was started with `tasks`, to the built-in caller.
    pub async fn serve(endpoint: Endpoint, tasks: Tasks) -> Result<Self> {
        Self::serve_to(Access::default(), vec![endpoint], tasks)
    }

    /// Serves what was started with `tasks` to a caller, for example of another tenant.
    pub fn serve_to(access: Access, endpoints: Vec<Endpoint>, tasks: Tasks) -> Result<Self> {
        Self::serve_with(access, &server::Limits::default(), endpoints, tasks)
    }

    /// The same, with limits of its own.
    pub fn serve_with(access: Access, limits: &server::Limits, endpoints: Vec<Endpoint>, tasks: Tasks) -> Result<Self> {
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Self::serve_on(listener, access, limits, endpoints, tasks)
    }

    /// The same, on a listener that may encrypt.
    pub fn serve_on(
        listener: Listener,
        access: Access,
        limits: &server::Limits,
        endpoints: Vec<Endpoint>,
        tasks: Tasks,
    ) -> Result<Self> {
        let address = listener.address()?;
        server::serve(listener, endpoints, limits, access, &tasks)?;
        Ok(Self { address, tasks })
    }

    /// A new connection to it.
    pub async fn connect(&self) -> Result<Channel> {
        Ok(Channel::from_shared(format!("http://{}", self.address))?.connect().await?)
    }

    /// Waits until it says that it serves a gRPC service.
    pub async fn serves(&self, service: &str) {
        eventually("the service serves", || async {
            let mut health = HealthClient::new(self.connect().await.ok()?);
            let check = HealthCheckRequest { service: service.into() };
            (health.check(check).await.ok()?.into_inner().status() == ServingStatus::Serving).then_some(())
        })
        .await;
    }

    /// Stops it as SIGTERM would, and waits until it has. Fails if one of its tasks did.
    pub async fn stop(self) -> Result<()> {
        self.tasks.stop_token().cancel();
        self.tasks.run().await
    }
}

/// What was logged by the thread of a test while the guard lives.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Catches logs until the guard is dropped. In a test of a single thread these are the logs of all its tasks.
    pub fn catch() -> (Self, DefaultGuard) {
        let logs = Self::default();
        let writer = logs.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (logs, tracing::subscriber::set_default(subscriber))
    }

    /// How often a text was logged.
    pub fn count(&self, text: &str) -> usize {
        let bytes = self.0.lock().expect("no holder of this lock panics");
        String::from_utf8_lossy(&bytes).matches(text).count()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no holder of this lock panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logs go to the test's captured output, which a failing test shows.
fn show_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Fails where another test of this process has done it.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
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
