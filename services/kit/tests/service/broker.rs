//! A simulated broker whose partitions can lose their leader.

use std::{sync::mpsc, thread};

use anyhow::{Context, Result, anyhow};
use rdkafka::mocking::MockCluster;

pub struct Broker {
    pub bootstrap_servers: String,
    leaders: mpsc::Sender<(i32, Option<i32>)>,
}

impl Broker {
    /// Starts it with one topic. It lives on a thread of its own, because it may not change threads, and ends when this is dropped.
    pub fn start(topic: &str, partitions: i32) -> Result<Self> {
        let (topic, (started, starting)) = (topic.to_owned(), mpsc::channel());
        let (leaders, changes) = mpsc::channel();
        thread::spawn(move || {
            let cluster = MockCluster::new(1).expect("a simulated broker");
            cluster.create_topic(&topic, partitions, 1).expect("a topic");
            started.send(cluster.bootstrap_servers()).expect("the test waits");
            while let Ok((partition, leader)) = changes.recv() {
                cluster.partition_leader(&topic, partition, leader).expect("a partition of the topic");
            }
        });
        let bootstrap_servers = starting.recv().context("the broker did not start")?;
        Ok(Self { bootstrap_servers, leaders })
    }

    /// Takes the leader of a partition away, or gives it back.
    pub fn lead(&self, partition: i32, is_led: bool) -> Result<()> {
        self.leaders.send((partition, is_led.then_some(1))).map_err(|_| anyhow!("the broker has ended"))
    }
}
