//! The truth check: whether every order became what it should, asked of Postgres and of Kafka after a run. One that is not passed
//! makes the run void.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use anyhow::Result;
use comanda_kit::kafka;
use comanda_proto::{
    events::{OrderPlaced, OrderTransition},
    topics::{self, Event},
};
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer},
};
use sqlx::{AssertSqlSafe, PgPool};

use crate::{report::Check, stage::Stage};

/// How long Kafka may take to hand over the next record.
const READ: Duration = Duration::from_secs(10);

/// What a run should have led to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Orders that were answered OK.
    pub accepted: u64,
    /// Calls whose outcome is unknown: as many more orders may be there.
    pub unknown: u64,
    /// Orders that were loaded into the tables before, and were not told to Kafka.
    pub preloaded: u64,
    /// Transitions of each order.
    pub versions: i64,
    /// Whether each transition has a mail.
    pub mails: bool,
}

/// Asks all of it. Nothing may still be under way.
pub async fn check(stage: &Stage, expected: Expected) -> Result<Vec<Check>> {
    let count = async |statement: &str| count(&stage.sql, statement).await;
    let orders = count("SELECT count(*) FROM ordering.orders").await? - expected.preloaded as i64;
    let (least, most) = (expected.accepted as i64, (expected.accepted + expected.unknown) as i64);
    let mut checks = vec![
        told("accepted = rows", (least..=most).contains(&orders), format!("{least} accepted, {orders} rows")),
        none("outboxes are empty", count(OUTBOXES).await?),
        none("orders without a state", count(UNADOPTED).await?),
        none("orders whose versions are not 1, 2, 3 ...", count(NOT_DENSE).await?),
        none("orders whose state is not their last transition", count(NOT_LAST).await?),
    ];
    let unfinished = format!("SELECT count(*) FROM state_machine.states WHERE version <> {}", expected.versions);
    checks.push(none("orders that did not go all the way", count(&unfinished).await?));
    if expected.mails {
        let sent = count("SELECT count(*) FROM notification.mails WHERE state = 4").await?;
        let due = orders * expected.versions;
        checks.push(told("mails sent = transitions", sent == due, format!("{sent} sent, {due} transitions")));
    }
    checks.push(topic::<OrderPlaced>(stage, topics::ORDERS, orders, 1, |_| 1).await?);
    let version = |transition: &OrderTransition| transition.version;
    checks.push(topic(stage, topics::ORDER_TRANSITIONS, orders, expected.versions, version).await?);
    Ok(checks)
}

/// Asks what can be asked after orders were loaded into the tables, of which `moved` moved once: ordering's topic never told of them.
pub async fn check_loaded(stage: &Stage, loaded: i64, moved: i64) -> Result<Vec<Check>> {
    let count = async |statement: &str| count(&stage.sql, statement).await;
    let transitions = count("SELECT count(*) FROM state_machine.transitions").await?;
    let expected = loaded + moved;
    Ok(vec![
        told("each timer fired once", transitions == expected, format!("{transitions} transitions of {expected}")),
        none("outboxes are empty", count(OUTBOXES).await?),
        none("orders whose versions are not 1, 2, 3 ...", count(NOT_DENSE).await?),
        none("orders whose state is not their last transition", count(NOT_LAST).await?),
    ])
}

const OUTBOXES: &str = "SELECT (SELECT count(*) FROM ordering.outbox) + (SELECT count(*) FROM state_machine.outbox)";
const UNADOPTED: &str = "SELECT count(*) FROM ordering.orders o
                         WHERE NOT EXISTS (SELECT FROM state_machine.states s WHERE s.order_id = o.order_id)";
const NOT_DENSE: &str = "SELECT count(*) FROM (
                             SELECT FROM state_machine.transitions GROUP BY order_id
                             HAVING min(version) <> 1 OR max(version) <> count(*)
                         ) AS holes";
const NOT_LAST: &str = "SELECT count(*) FROM state_machine.states s
                        LEFT JOIN state_machine.transitions t ON t.order_id = s.order_id AND t.version = s.version
                        WHERE t.to_status IS DISTINCT FROM s.status
                           OR EXISTS (SELECT FROM state_machine.transitions l
                                      WHERE l.order_id = s.order_id AND l.version > s.version)";

async fn count(sql: &PgPool, statement: &str) -> Result<i64> {
    Ok(sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(sql).await?)
}

fn told(name: &str, passed: bool, detail: String) -> Check {
    Check { name: name.into(), passed, detail }
}

fn none(name: &str, found: i64) -> Check {
    told(name, found == 0, found.to_string())
}

/// Whether a topic tells of each order its versions in order, in one partition; repetitions are counted, not refused.
async fn topic<E: Event + Default + 'static>(
    stage: &Stage,
    topic: &'static str,
    orders: i64,
    versions: i64,
    version: impl Fn(&E) -> i64 + Send + 'static,
) -> Result<Check> {
    let (kafka, name) = (stage.kafka.clone(), stage.kafka.topic(topic));
    let seen = tokio::task::spawn_blocking(move || read(&kafka, &name, version)).await??;
    let complete = seen.lasts.values().filter(|(_, last)| *last == versions).count() as i64;
    let passed = seen.disorder == 0 && complete == orders && seen.lasts.len() as i64 == orders;
    let detail = format!(
        "{} records tell of {} orders, of {complete} all {versions} versions; {} repeated, {} out of order",
        seen.records,
        seen.lasts.len(),
        seen.repeated,
        seen.disorder
    );
    Ok(told(&format!("topic {topic} tells everything in order"), passed, detail))
}

#[derive(Debug, Default)]
struct Seen {
    records: u64,
    repeated: u64,
    disorder: u64,
    /// Partition and last version of each key.
    lasts: HashMap<Vec<u8>, (i32, i64)>,
}

impl Seen {
    fn take(&mut self, key: &[u8], partition: i32, version: i64) {
        self.records += 1;
        let last = self.lasts.entry(key.to_vec()).or_insert((partition, 0));
        match version - last.1 {
            _ if partition != last.0 => self.disorder += 1,
            1 => last.1 = version,
            step if step <= 0 => self.repeated += 1,
            _ => self.disorder += 1,
        }
    }
}

/// Reads a topic from its beginning to where it now ends. Blocks.
fn read<E: Event + Default>(kafka: &kafka::Config, topic: &str, version: impl Fn(&E) -> i64) -> Result<Seen> {
    let consumer: BaseConsumer = kafka.free_consumer().create()?;
    let ends = kafka::watermarks(consumer.client(), topic)?;
    let starts: BTreeMap<i32, i64> = ends.iter().map(|(&partition, &(first, _))| (partition, first)).collect();
    let mut missing: i64 = ends.values().map(|(first, next)| next - first).sum();
    consumer.assign(&kafka::assignment(topic, &starts)?)?;
    let mut seen = Seen::default();
    while missing > 0 {
        let Some(record) = consumer.poll(READ) else { anyhow::bail!("{topic} ends {missing} records too early") };
        let record = record?;
        let event = E::decode(record.payload().unwrap_or_default())?;
        seen.take(record.key().unwrap_or_default(), record.partition(), version(&event));
        missing -= 1;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(records: &[(&str, i32, i64)]) -> Seen {
        let mut seen = Seen::default();
        records.iter().for_each(|(key, partition, version)| seen.take(key.as_bytes(), *partition, *version));
        seen
    }

    #[test]
    fn versions_in_order_are_fine_and_repetitions_are_counted() {
        let seen = seen(&[("a", 0, 1), ("b", 1, 1), ("a", 0, 2), ("a", 0, 1), ("a", 0, 3)]);
        assert_eq!((seen.records, seen.repeated, seen.disorder), (5, 1, 0));
        assert_eq!(seen.lasts[b"a".as_slice()], (0, 3));
    }

    #[test]
    fn a_skipped_version_and_another_partition_are_disorder() {
        assert_eq!(seen(&[("a", 0, 1), ("a", 0, 3)]).disorder, 1);
        assert_eq!(seen(&[("a", 0, 1), ("a", 1, 2)]).disorder, 1);
    }
}
