//! `comanda migrate`: the database's schema, the shipped workflows and Kafka's topics.

use anyhow::Result;
use clap::{Args, ValueEnum};
use comanda_kit::{
    kafka::{self, TopicConfig, TopicState},
    postgres,
};
use comanda_proto::topics;
use comanda_state_machine::operator::Operator;

use crate::operate::numbers::Numbers;

/// `comanda migrate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Run it before the first start and before each new version; running it again changes nothing. Topics are made once and never
altered: one that exists with another number of partitions is reported and left alone.")]
pub struct MigrateArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    topics: TopicConfig,
    #[command(flatten)]
    numbers: Numbers,
    /// Only one of the two.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// A part of what is migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The schema and the shipped workflows.
    Database,
    /// The topics.
    Topics,
}

/// Brings database and topics up to date.
pub async fn run(args: MigrateArgs) -> Result<()> {
    if args.only != Some(Part::Topics) {
        database(&args.postgres).await?;
        println!("database: up to date");
        if let Some(own) = args.numbers.own_database(&args.postgres) {
            postgres::migrate(&own).await?;
            println!("database of analytics: up to date");
        }
    }
    if args.only != Some(Part::Database) {
        for name in topics::ALL {
            let topic = args.kafka.topic(name);
            let state = kafka::create_topic(&args.kafka, &topic, &args.topics).await?;
            println!("topic {topic}: {}", describe(&state, args.topics.partitions));
        }
    }
    Ok(())
}

/// Brings the schema up to date and stores the shipped workflows.
pub async fn database(config: &postgres::Config) -> Result<()> {
    postgres::migrate(config).await?;
    let operator = Operator::connect(config)?;
    operator.store_shipped_workflows().await?;
    operator.close().await;
    Ok(())
}

fn describe(state: &TopicState, wanted: i32) -> String {
    match state {
        TopicState::Created => format!("made, with {wanted} partitions"),
        TopicState::Existed => "was there".into(),
        TopicState::Differs { partitions } => {
            format!(
                "WAS THERE WITH {partitions} PARTITIONS, not {wanted}; left as it is, since more would move the keys"
            )
        }
    }
}
