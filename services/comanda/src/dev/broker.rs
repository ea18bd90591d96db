//! The broker of `comanda dev`: librdkafka's MockCluster, on a thread of its own, since it may not change threads.

use std::{sync::mpsc, thread};

use anyhow::{Context, Result, anyhow};
use rdkafka::{error::KafkaResult, mocking::MockCluster};

/// A running broker; it stops when this is dropped.
pub struct Broker {
    bootstrap_servers: String,
    _alive: mpsc::Sender<()>,
}

impl Broker {
    /// Starts it with these topics.
    pub fn start(topics: Vec<String>, partitions: i32) -> Result<Self> {
        let (started, starting) = mpsc::channel();
        let (alive, ended) = mpsc::channel::<()>();
        thread::Builder::new().name("broker".into()).spawn(move || {
            let cluster = start(&topics, partitions);
            let address = cluster.as_ref().map(MockCluster::bootstrap_servers).map_err(|error| anyhow!("{error}"));
            if started.send(address).is_ok() {
                // Fails as soon as the broker is dropped: that is the sign to end.
                let _ = ended.recv();
            }
        })?;
        let bootstrap_servers =
            starting.recv().context("the broker's thread ended")?.context("the broker did not start")?;
        Ok(Self { bootstrap_servers, _alive: alive })
    }

    /// Where it listens, on loopback.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

fn start(
    topics: &[String],
    partitions: i32,
) -> KafkaResult<MockCluster<'static, rdkafka::producer::DefaultProducerContext>> {
    let cluster = MockCluster::new(1)?;
    for topic in topics {
        cluster.create_topic(topic, partitions, 1)?;
    }
    Ok(cluster)
}
