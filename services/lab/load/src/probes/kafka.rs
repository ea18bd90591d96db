//! What the broker takes and gives: many records at once, and one at a time.

use std::time::Duration;

use anyhow::{Context, Result};
use comanda_kit::kafka::{Config, TopicConfig, create_topic};
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::task::spawn_blocking;

use super::records;
use crate::report::{Better, Run};

const PARTITIONS: i32 = 6;
const BOUND: Duration = Duration::from_secs(10);

/// Produces, consumes what was produced, and times round trips, on a topic of its own.
pub async fn throughput(kafka: &Config, duration: Duration, run: &mut Run) -> Result<()> {
    let topic = kafka.topic("probe");
    create_topic(kafka, &topic, &TopicConfig { partitions: PARTITIONS, replication_factor: 1 }).await?;
    let found = measure(kafka, &topic, duration, run).await;
    delete(kafka, &topic).await.context("the probe's topic stays")?;
    found
}

async fn measure(kafka: &Config, topic: &str, duration: Duration, run: &mut Run) -> Result<()> {
    let (config, name) = (kafka.clone(), topic.to_owned());
    let (produced, records) = spawn_blocking(move || records::produce(&config, &name, duration)).await??;
    run.figure("records of 300 B produced, acks=all", "1/s", produced, Better::Higher);
    let (config, name) = (kafka.clone(), topic.to_owned());
    let consumed = spawn_blocking(move || records::consume(&config, &name, records)).await??;
    run.figure("records of 300 B consumed", "1/s", consumed, Better::Higher);
    let (config, name) = (kafka.clone(), topic.to_owned());
    let trips = spawn_blocking(move || records::round_trips(&config, &name, duration)).await??;
    run.timing(trips.latency("Kafka round trip"));
    Ok(())
}

async fn delete(kafka: &Config, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.producer().create()?;
    admin.delete_topics(&[topic], &AdminOptions::new().request_timeout(Some(BOUND))).await?;
    Ok(())
}
