//! Notices that Kafka has lost a topic's log: deleted, re-created or cut off.
//!
//! In: acks, and what the broker says of its log. Out: a raised `topic_epoch`, by which consumers know that offsets begin anew, and a
//! loud line for the operator.

use std::collections::BTreeMap;

use anyhow::Result;
use metrics::counter;
use rdkafka::producer::{FutureProducer, Producer};
use sqlx::PgPool;
use tracing::error;

use super::{Context, explain, pointers::Reach};
use crate::{kafka, lease::Lease, postgres::bounded};

/// What is known of one topic's log.
pub struct LostLog {
    pool: PgPool,
    topic: String,
    /// How far each partition got by the acks this relay saw, also those it could not note.
    seen: BTreeMap<i32, i64>,
    /// Whether an ack told of a loss, and the database does not know yet.
    is_unnoted: bool,
}

impl LostLog {
    /// Of a topic; nothing is known yet.
    pub fn new(pool: PgPool, topic: String) -> Self {
        Self { pool, topic, seen: BTreeMap::new(), is_unnoted: false }
    }

    /// Compares acks with those before them; whether a loss is to be noted. The database compares too, but only what could be noted: a
    /// relay that publishes while its lease is renewed or the database is away may carry a new log past the noted end of the old one.
    pub fn seen_in(&mut self, reach: &Reach) -> bool {
        let fell = reach.iter().any(|(partition, (low, _))| self.seen.get(partition).is_some_and(|seen| low <= seen));
        if fell {
            self.seen.clear();
        }
        self.seen.extend(reach.iter().map(|(&partition, &(_, high))| (partition, high)));
        self.is_unnoted |= fell;
        self.is_unnoted
    }

    /// The database knows all that is known here.
    pub fn noted(&mut self, is_lost: bool) {
        self.is_unnoted = false;
        if is_lost {
            self.tell();
        }
    }

    /// Compares the broker's log with what it acknowledged.
    pub async fn check(&self, producer: &FutureProducer<Context>, lease: Lease) -> Result<()> {
        let (producer, topic) = (producer.clone(), self.topic.clone());
        let ends = tokio::task::spawn_blocking(move || kafka::watermarks(producer.client(), &topic)).await?;
        let ends = ends.map_err(explain)?;
        let (partitions, ends): (Vec<i32>, Vec<i64>) =
            ends.into_iter().map(|(partition, (_, end))| (partition, end)).unzip();
        let lost = bounded(
            sqlx::query_scalar(
                "WITH term AS MATERIALIZED (
                     SELECT FROM lease WHERE epoch = $1 FOR SHARE
                 ), lost AS MATERIALIZED (
                     SELECT FROM unnest($2::int[], $3::bigint[]) AS b (partition, log_end)
                     JOIN topic_offsets t ON t.partition = b.partition
                     WHERE b.log_end <= t.acked_offset AND EXISTS (SELECT FROM term)
                 ), stale AS (
                     DELETE FROM topic_offsets WHERE EXISTS (SELECT FROM lost)
                 ), renewed AS (
                     UPDATE topic_log SET topic_epoch = topic_epoch + 1 WHERE EXISTS (SELECT FROM lost)
                 )
                 SELECT EXISTS (SELECT FROM lost)",
            )
            .bind(lease.epoch)
            .bind(partitions)
            .bind(ends)
            .fetch_one(&self.pool),
        )
        .await?;
        if lost {
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        counter!("comanda_lost_logs_total", "topic" => self.topic.clone()).increment(1);
        error!(
            topic = self.topic,
            "KAFKA LOST THE LOG OF THIS TOPIC (deleted, re-created or cut off). No order is lost: run `comanda republish --all`. \
             Consumers start at the beginning of the new log."
        );
    }
}
