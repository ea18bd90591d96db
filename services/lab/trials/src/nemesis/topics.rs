//! Faults on topics: what nobody can read, what everybody has read, and nothing at all.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use comanda_proto::topics;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    cluster::{Endpoints, Role},
    dump::{self, Lag, PLANTED_HEADER, READERS},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// How often Kafka is asked whether something is done, and what lies between.
const TRIES: u32 = 80;
const PAUSE: Duration = Duration::from_millis(250);
/// Records that are put again, of one partition.
const REPLAYED: usize = 500;
/// Nearly as large as a broker takes.
const LARGE: usize = 900_000;

fn client(endpoints: &Endpoints) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &endpoints.kafka_bootstrap_servers)
        .set("client.id", "trials-nemesis")
        .set("message.timeout.ms", "15000")
        .set("acks", "all")
        .set("log_level", "0");
    client
}

/// The topics that are kept and judged. Where couriers are is neither.
fn names(endpoints: &Endpoints) -> [String; 3] {
    [topics::ORDERS, topics::ORDER_TRANSITIONS, topics::ASSIGNMENTS]
        .map(|topic| format!("{}{topic}", endpoints.topic_prefix))
}

/// Puts some records on each topic that no reader can make sense of, under keys of orders and of nobody.
pub async fn plant_garbage(endpoints: &Endpoints, order_ids: &[String], seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let producer: FutureProducer = client(endpoints).create()?;
    for topic in names(endpoints) {
        for _ in 0..random.random_range(3..10) {
            let (key, payload) = (key(order_ids, &mut random), payload(&mut random));
            let headers = OwnedHeaders::new().insert(Header { key: PLANTED_HEADER, value: Some("garbage") });
            let record = FutureRecord::to(&topic).key(&key).payload(&payload).headers(headers);
            producer.send(record, Timeout::Never).await.map_err(|(error, _)| error).context("Kafka took no garbage")?;
        }
    }
    Ok(())
}

fn key(order_ids: &[String], random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..3) {
        0 if !order_ids.is_empty() => order_ids[random.random_range(0..order_ids.len())].clone().into_bytes(),
        1 => Vec::new(),
        _ => noise(16, random),
    }
}

fn payload(random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..10) {
        0 => Vec::new(),
        1 => noise(LARGE, random),
        // A message of another kind, as far as protobuf goes.
        2..5 => b"\x0a\x04text\x10\x07\x1a\x02hi".into(),
        _ => {
            let length = random.random_range(1..200);
            noise(length, random)
        }
    }
}

fn noise(length: usize, random: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A record as it is on a topic.
struct Old {
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Option<OwnedHeaders>,
}

/// Puts a run of old records of one partition of each topic there again, byte for byte. Returns how many.
pub async fn replay(endpoints: &Endpoints, partitions: i32, seed: u64) -> Result<usize> {
    let mut random = StdRng::seed_from_u64(seed);
    let producer: FutureProducer = client(endpoints).set("enable.idempotence", "true").create()?;
    let mut replayed = 0;
    for topic in names(endpoints) {
        let partition = random.random_range(0..partitions);
        let (settings, name, chance) = (client(endpoints), topic.clone(), random.random::<f64>());
        let records = spawn_blocking(move || read(&settings, &name, partition, chance)).await??;
        for Old { key, payload, headers } in &records {
            let mut record = FutureRecord::<[u8], [u8]>::to(&topic).partition(partition);
            record.key = key.as_deref();
            record.payload = payload.as_deref();
            record.headers = headers.clone();
            producer.send(record, Timeout::Never).await.map_err(|(error, _)| error).context("Kafka took no replay")?;
        }
        replayed += records.len();
    }
    Ok(replayed)
}

/// Some records of a partition, from a place between its beginning (0) and its end (1). Blocks.
fn read(settings: &ClientConfig, topic: &str, partition: i32, place: f64) -> Result<Vec<Old>> {
    let mut settings = settings.clone();
    settings.remove("acks").remove("message.timeout.ms");
    let consumer: BaseConsumer =
        settings.set("group.id", "trials-nemesis").set("enable.auto.commit", "false").create()?;
    let (first, next) = consumer.fetch_watermarks(topic, partition, PATIENCE).context("Kafka does not answer")?;
    let from = first + ((next - first) as f64 * place) as i64;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(from))?;
    consumer.assign(&list)?;
    let mut records = Vec::new();
    while records.len() < REPLAYED && from + (records.len() as i64) < next {
        let record = consumer.poll(PATIENCE).with_context(|| format!("{topic} is silent before its end"))??;
        // What was garbage then is so now, and its header says so.
        records.push(Old {
            key: record.key().map(Into::into),
            payload: record.payload().map(Into::into),
            headers: record.headers().map(|headers| headers.detach()),
        });
    }
    Ok(records)
}

/// Deletes the offsets of the consumer groups of a role. Their members must be gone.
pub async fn forget_groups(endpoints: &Endpoints, role: Role) -> Result<()> {
    let of_role = |lag: &&Lag| {
        READERS.iter().any(|(topic, reader, of)| {
            (*of, *topic) == (role, lag.topic) && lag.group.starts_with(&format!("{reader}-{}", endpoints.topic_prefix))
        })
    };
    let lags = dump::lags(endpoints).await?;
    let groups: BTreeSet<&String> = lags.iter().filter(of_role).map(|lag| &lag.group).collect();
    ensure!(!groups.is_empty(), "{} has no group", role.name());
    for group in groups {
        forget(endpoints, group).await?;
    }
    Ok(())
}

async fn forget(endpoints: &Endpoints, group: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(endpoints).create()?;
    // Its last member may still be leaving.
    for _ in 0..TRIES {
        let answers = admin.delete_groups(&[group], &AdminOptions::new()).await;
        if answers.is_ok_and(|answers| answers.iter().all(Result::is_ok)) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    bail!("Kafka does not delete {group}")
}

/// Deletes the topics with everything on them, and waits until they are gone.
pub async fn delete(endpoints: &Endpoints) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(endpoints).create()?;
    let names = names(endpoints);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let answers = admin.delete_topics(&all, &AdminOptions::new()).await?;
    if let Some((topic, code)) = answers.into_iter().find_map(Result::err) {
        bail!("Kafka would not delete {topic}: {code}");
    }
    let settings = client(endpoints);
    for _ in 0..TRIES {
        let (settings, names) = (settings.clone(), names.clone());
        if spawn_blocking(move || are_gone(&settings, &names)).await?.is_ok() {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    bail!("the deleted topics are still there")
}

fn are_gone(settings: &ClientConfig, names: &[String]) -> Result<()> {
    let consumer: BaseConsumer = settings.create()?;
    let metadata = consumer.fetch_metadata(None, PATIENCE)?;
    ensure!(!metadata.topics().iter().any(|found| names.iter().any(|name| name == found.name())), "they are there");
    Ok(())
}
