//! Databases and topics of their own for tests, on the real servers that `scripts/test` starts.

use std::{env, future::Future, time::Duration};

use anyhow::{Context, Result};
use comanda_proto::topics;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{kafka, postgres};

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
        let server = server("COMANDA_TEST_DATABASE_URL", "postgres://comanda@127.0.0.1:5433/comanda");
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut connection =
            PgConnection::connect(&server).await.context("no Postgres for tests: run `scripts/postgres start`")?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
        let (base, _) = server.rsplit_once('/').context("the database's URL has no name")?;
        let postgres = postgres::Config { database_url: format!("{base}/{name}"), database_connections: 5 };
        postgres::migrate(&postgres).await?;
        let kafka = kafka::Config {
            kafka_bootstrap_servers: server_list(),
            topic_prefix: format!("{name}."),
            kafka_config: Vec::new(),
        };
        Ok(Self { postgres, kafka })
    }

    /// Makes the topics.
    pub async fn create_topics(&self) -> Result<()> {
        let settings = kafka::TopicConfig { partitions: PARTITIONS, replication_factor: 1 };
        for topic in [topics::ORDERS, topics::ORDER_TRANSITIONS] {
            kafka::create_topic(&self.kafka, &self.kafka.topic(topic), &settings).await?;
        }
        Ok(())
    }
}

fn server_list() -> String {
    server("COMANDA_TEST_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
}

fn server(variable: &str, default: &str) -> String {
    env::var(variable).unwrap_or_else(|_| default.into())
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
