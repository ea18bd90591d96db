//! `comanda dead-letters`: records that a consumer could neither apply nor look up.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use comanda_analytics::operator::Operator as Analytics;
use comanda_dispatch::operator::Operator as Dispatch;
use comanda_kit::{
    dead_letters::DeadLetter,
    kafka::{self, Context, Work},
    postgres::{self, StoreError},
};
use comanda_notification::operator::Operator as Notification;
use comanda_state_machine::operator::Operator as StateMachine;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::{
    lines::{moment, print_lines},
    numbers::Numbers,
};
use crate::terminal::escape;

const MOST: i64 = 1000;
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// `comanda dead-letters`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
There is no --tenant: dead letters are those of the whole installation. Most could not be read, so nobody knows whose they are.")]
pub struct DeadLettersArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    numbers: Numbers,
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Show them, the oldest first.
    List,
    /// Write them to their topic again, after the cause was repaired.
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

/// The services that keep dead letters.
struct Services {
    state_machine: StateMachine,
    notification: Notification,
    dispatch: Dispatch,
    analytics: Analytics,
}

#[derive(Clone, Copy, Debug)]
enum Keeper {
    StateMachine,
    Notification,
    Dispatch,
    Analytics,
}

impl Services {
    fn connect(postgres: &postgres::Config, numbers: &Numbers) -> Result<Self> {
        Ok(Self {
            state_machine: StateMachine::connect(postgres)?,
            notification: Notification::connect(postgres)?,
            dispatch: Dispatch::connect(postgres)?,
            analytics: numbers.operator(postgres)?,
        })
    }

    /// The oldest dead letters of all services, the oldest first.
    async fn list(&self) -> Result<Vec<(Keeper, DeadLetter)>, StoreError> {
        let of_state_machine = self.state_machine.dead_letters(MOST).await?.into_iter();
        let of_notification = self.notification.dead_letters(MOST).await?.into_iter();
        let of_dispatch = self.dispatch.dead_letters(MOST).await?.into_iter();
        let of_analytics = self.analytics.dead_letters(MOST).await?.into_iter();
        let mut all: Vec<_> = of_state_machine.map(|letter| (Keeper::StateMachine, letter)).collect();
        all.extend(of_notification.map(|letter| (Keeper::Notification, letter)));
        all.extend(of_dispatch.map(|letter| (Keeper::Dispatch, letter)));
        all.extend(of_analytics.map(|letter| (Keeper::Analytics, letter)));
        all.sort_by_key(|(_, letter)| letter.dead_letter_time);
        Ok(all)
    }

    async fn forget(&self, keeper: Keeper, letter: &DeadLetter) -> Result<(), StoreError> {
        match keeper {
            Keeper::StateMachine => self.state_machine.forget_dead_letter(letter).await,
            Keeper::Notification => self.notification.forget_dead_letter(letter).await,
            Keeper::Dispatch => self.dispatch.forget_dead_letter(letter).await,
            Keeper::Analytics => self.analytics.forget_dead_letter(letter).await,
        }
    }
}

/// Lists, retries or drops.
pub async fn run(args: DeadLettersArgs) -> Result<()> {
    let services = Services::connect(&args.postgres, &args.numbers)?;
    let letters = services.list().await?;
    match args.what {
        What::List => print_lines(letters.iter().map(|(keeper, letter)| line(*keeper, letter)))?,
        What::Retry(choice) => {
            let settings = args.kafka.producer();
            let context = Context::of(&settings);
            let producer: FutureProducer<Context> = settings.create_with_context(context.clone())?;
            for (keeper, letter) in choose(&letters, &choice)? {
                let again = FutureRecord::to(&letter.topic).key(&letter.key).payload(&letter.payload);
                let sent = producer.send(again, SEND_TIMEOUT).await;
                sent.map_err(|(error, _)| {
                    anyhow!("Kafka did not take {}: {}", name(letter), context.told(&error, Work::Write(&letter.topic)))
                })?;
                services.forget(*keeper, letter).await?;
                println!("retried {}", name(letter));
            }
        }
        What::Drop(choice) => {
            for (keeper, letter) in choose(&letters, &choice)? {
                services.forget(*keeper, letter).await?;
                println!("dropped {}", name(letter));
            }
        }
    }
    Ok(())
}

fn name(letter: &DeadLetter) -> String {
    format!("{}/{}/{}/{}", letter.topic, letter.topic_epoch, letter.partition, letter.offset)
}

/// A key and a reason may hold anything, since they came from a record: nothing of them reaches a terminal unescaped.
fn line(keeper: Keeper, letter: &DeadLetter) -> String {
    let service = match keeper {
        Keeper::StateMachine => "state-machine",
        Keeper::Notification => "notification",
        Keeper::Dispatch => "dispatch",
        Keeper::Analytics => "analytics",
    };
    let (key, reason) = (String::from_utf8_lossy(&letter.key), escape(&letter.reason));
    format!("{}  {service}  {}  key {key:?}: {reason}", moment(letter.dead_letter_time), name(letter))
}

fn choose<'p>(letters: &'p [(Keeper, DeadLetter)], choice: &Choice) -> Result<Vec<&'p (Keeper, DeadLetter)>> {
    let chosen: Vec<_> =
        letters.iter().filter(|(_, letter)| choice.all || choice.record.as_ref() == Some(&name(letter))).collect();
    if chosen.is_empty() && !choice.all {
        bail!("no such record; `comanda dead-letters list` names them");
    }
    Ok(chosen)
}
