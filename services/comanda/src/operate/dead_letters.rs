//! `comanda dead-letters`: records that a consumer could neither apply nor look up.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use comanda_kit::{kafka, postgres};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::store::{DeadLetter, Store};
use crate::terminal::escape;

const MOST: i64 = 1000;
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// `comanda dead-letters`.
#[derive(Args, Clone, Debug)]
pub struct DeadLettersArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Show them, the oldest first.
    List,
    /// Put them on their topic again, after what was wrong has been mended.
    Retry(Choice),
    /// Forget them.
    Drop(Choice),
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Choice {
    /// One record, as `list` names it: topic/epoch/partition/offset.
    #[arg(long, value_name = "NAME")]
    record: Option<String>,
    /// Every record.
    #[arg(long)]
    all: bool,
}

/// Lists, retries or drops.
pub async fn run(args: DeadLettersArgs) -> Result<()> {
    let store = Store::connect(&args.postgres)?;
    let records = store.dead_letters(MOST).await?;
    match args.what {
        What::List => records.iter().for_each(show),
        What::Retry(choice) => {
            let producer: FutureProducer = args.kafka.producer().create()?;
            for record in choose(&records, &choice)? {
                let again = FutureRecord::to(&record.topic).key(&record.key).payload(&record.payload);
                let sent = producer.send(again, SEND_TIMEOUT).await;
                sent.map_err(|(error, _)| anyhow!("Kafka did not take {}: {error}", name(record)))?;
                store.forget_dead_letter(record).await?;
                println!("retried {}", name(record));
            }
        }
        What::Drop(choice) => {
            for record in choose(&records, &choice)? {
                store.forget_dead_letter(record).await?;
                println!("dropped {}", name(record));
            }
        }
    }
    Ok(())
}

fn name(record: &DeadLetter) -> String {
    format!("{}/{}/{}/{}", record.topic, record.topic_epoch, record.partition, record.offset)
}

fn show(record: &DeadLetter) {
    let key = String::from_utf8_lossy(&record.key);
    println!(
        "{}  {}  {}  key {key:?}: {}",
        record.dead_letter_time,
        record.service,
        name(record),
        escape(&record.reason)
    );
}

fn choose<'p>(records: &'p [DeadLetter], choice: &Choice) -> Result<Vec<&'p DeadLetter>> {
    let chosen: Vec<_> = records
        .iter()
        .filter(|dead_letters| choice.all || choice.record.as_ref() == Some(&name(dead_letters)))
        .collect();
    if chosen.is_empty() && !choice.all {
        bail!("no such record; `comanda dead-letters list` names them");
    }
    Ok(chosen)
}
