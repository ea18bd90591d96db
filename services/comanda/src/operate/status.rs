//! `comanda status`: what waits, and for how long.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use comanda_kit::{
    kafka::{self, REQUEST_TIMEOUT},
    postgres,
};
use comanda_proto::{topics, v1::MailState};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::Serialize;

use super::store::Store;

/// `comanda status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exit codes: 0 when nothing is stuck and there is no dead letter, 1 when something is.")]
pub struct StatusArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Status {
    orders_unpublished: i64,
    oldest_unpublished_order_seconds: f64,
    transitions_unpublished: i64,
    oldest_unpublished_transition_seconds: f64,
    adoption_lag: Option<i64>,
    mail_lag: Option<i64>,
    orders_active: i64,
    timers_due: i64,
    orders_stuck: i64,
    dead_letters: i64,
    mails: BTreeMap<String, i64>,
}

/// Shows what waits. False when an operator is needed.
pub async fn run(args: StatusArgs) -> Result<bool> {
    let store = Store::connect(&args.postgres)?;
    let counts = store.counts().await?;
    let lag = |group: &str, topic: &str, epoch| {
        lag(args.kafka.clone(), format!("{group}-{}", args.kafka.topic(topic)), args.kafka.topic(topic), epoch)
    };
    let status = Status {
        orders_unpublished: counts.orders_unpublished,
        oldest_unpublished_order_seconds: counts.oldest_order_seconds,
        transitions_unpublished: counts.transitions_unpublished,
        oldest_unpublished_transition_seconds: counts.oldest_transition_seconds,
        adoption_lag: lag("comanda-state-machine", topics::ORDERS, counts.orders_epoch).await,
        mail_lag: lag("comanda-notification-mail", topics::ORDER_TRANSITIONS, counts.transitions_epoch).await,
        orders_active: counts.active,
        timers_due: counts.timers_due,
        orders_stuck: counts.stuck,
        dead_letters: counts.dead_letters,
        mails: store.mails_by_state().await?.into_iter().map(|(state, count)| (state_name(state), count)).collect(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&status)?)
    } else {
        show(&status)
    }
    Ok(status.orders_stuck == 0 && status.dead_letters == 0)
}

fn state_name(state: i16) -> String {
    let state = MailState::try_from(i32::from(state)).unwrap_or_default();
    state.as_str_name().trim_start_matches("MAIL_STATE_").to_lowercase()
}

fn show(status: &Status) {
    let lag = |lag: Option<i64>| lag.map_or("unknown (Kafka does not answer)".into(), |lag| format!("{lag} records"));
    println!(
        "orders not yet published       {} (oldest {:.1} s)",
        status.orders_unpublished, status.oldest_unpublished_order_seconds
    );
    println!(
        "transitions not yet published  {} (oldest {:.1} s)",
        status.transitions_unpublished, status.oldest_unpublished_transition_seconds
    );
    println!("lag of the state machine       {}", lag(status.adoption_lag));
    println!("lag of the mail ledger         {}", lag(status.mail_lag));
    println!("orders under way               {}", status.orders_active);
    println!("timers due                     {}", status.timers_due);
    println!("orders stuck (due for 1 min)   {}", status.orders_stuck);
    println!("dead letters                   {}", status.dead_letters);
    for (state, count) in &status.mails {
        println!("mails {state:<24} {count}");
    }
}

/// Records that a group has not committed yet; `None` when Kafka does not answer.
async fn lag(config: kafka::Config, group: String, topic: String, epoch: i64) -> Option<i64> {
    let ask = move || -> Result<i64> {
        let consumer: BaseConsumer = config.group_consumer(&format!("{group}-e{epoch}")).create()?;
        let marks = kafka::watermarks(consumer.client(), &topic)?;
        let mut asked = TopicPartitionList::new();
        for partition in marks.keys() {
            asked.add_partition(&topic, *partition);
        }
        let committed = consumer.committed_offsets(asked, REQUEST_TIMEOUT)?;
        let lag = marks.iter().map(|(partition, (low, high))| {
            let offset = committed.find_partition(&topic, *partition).map(|found| found.offset());
            high - if let Some(Offset::Offset(offset)) = offset { offset } else { *low }
        });
        Ok(lag.sum())
    };
    tokio::task::spawn_blocking(ask).await.ok()?.ok()
}
