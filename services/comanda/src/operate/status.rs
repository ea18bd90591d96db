//! `comanda status`: what waits, and for how long.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clap::Args;
use comanda_dispatch::operator::Operator as Dispatch;
use comanda_kit::{
    kafka::{self, Context, REQUEST_TIMEOUT, Work},
    postgres,
    relay::MOST_COUNTED,
};
use comanda_notification::operator::Operator as Notification;
use comanda_ordering::operator::Operator as Ordering;
use comanda_proto::{topics, v1::MailState};
use comanda_state_machine::operator::Operator as StateMachine;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
};
use serde::Serialize;
use time::OffsetDateTime;

use super::{lines::print_lines, numbers::Numbers};

/// `comanda status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each number is counted up to 100,000: what is larger is shown as \">= 100000\". Of a mail ledger of more than 100,000 mails only those
that are not finished or dead are counted.

With --tenant, orders, timers, couriers, assignments, steps and mails are those of one tenant. What waits to be published, the lags and the
dead letters are always those of the whole installation: the tenants share the topics, and of a record that nobody can read nobody knows
the tenant.

Where dispatch does not run, its lag grows, and orders that need a courier wait until their timer ends them.

Exit codes: 0 when nothing that was counted is stuck and there is no dead letter, 1 otherwise.")]
pub struct StatusArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    kafka: kafka::Config,
    #[command(flatten)]
    numbers: Numbers,
    /// Count what belongs to this tenant only [default: the whole installation].
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
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
    assignments_unpublished: i64,
    oldest_unpublished_assignment_seconds: f64,
    adoption_lag: Option<i64>,
    step_lag: Option<i64>,
    mail_lag: Option<i64>,
    dispatch_lag: Option<i64>,
    analytics_lag: i64,
    analytics_lag_seconds: Option<f64>,
    orders_active: i64,
    timers_due: i64,
    orders_stuck: i64,
    couriers_available: i64,
    orders_waiting_for_a_courier: i64,
    orders_held_until_their_time: i64,
    assignments_open: i64,
    steps_stuck: i64,
    dead_letters: i64,
    mails: BTreeMap<String, i64>,
    /// Why lags are unknown.
    kafka_problems: BTreeSet<String>,
}

/// Shows what waits. False when an operator is needed.
pub async fn run(args: StatusArgs) -> Result<bool> {
    let status = Status::read(&args).await?;
    if args.json {
        println!("{}", serde_json::to_string(&status)?)
    } else {
        print_lines(lines(&status))?
    }
    Ok(status.orders_stuck == 0 && status.steps_stuck == 0 && status.dead_letters == 0)
}

impl Status {
    async fn read(args: &StatusArgs) -> Result<Self> {
        let StatusArgs { postgres, kafka, numbers, .. } = args;
        let tenant = args.tenant.as_deref();
        let (ordering, state_machine) = (Ordering::connect(postgres)?, StateMachine::connect(postgres)?);
        let (notification, dispatch) = (Notification::connect(postgres)?, Dispatch::connect(postgres)?);
        let analytics = numbers.operator(postgres)?;
        let folded = analytics.fold_state().await?;
        let counts = state_machine.counts(tenant, MOST_COUNTED).await?;
        let jobs = dispatch.counts(tenant, MOST_COUNTED).await?;
        let dead_letters = [
            state_machine.count_dead_letters(MOST_COUNTED).await?,
            notification.count_dead_letters(MOST_COUNTED).await?,
            dispatch.count_dead_letters(MOST_COUNTED).await?,
            analytics.count_dead_letters(MOST_COUNTED).await?,
        ];
        let transitions_epoch = state_machine.relay.topic_epoch().await?;
        let mails = notification.mails_by_state(tenant, MOST_COUNTED).await?;
        let lag = |group: &str, topic: &str, epoch| {
            lag(kafka.clone(), format!("{group}-{}", kafka.topic(topic)), kafka.topic(topic), epoch)
        };
        // Together, since where Kafka does not answer each waits for it.
        let lags = tokio::join!(
            lag("comanda-state-machine", topics::ORDERS, ordering.relay.topic_epoch().await?),
            lag("comanda-state-machine-steps", topics::ASSIGNMENTS, dispatch.relay.topic_epoch().await?),
            lag("comanda-notification-mail", topics::ORDER_TRANSITIONS, transitions_epoch),
            lag("comanda-dispatch", topics::ORDER_TRANSITIONS, transitions_epoch),
        );
        let kafka_problems = [&lags.0, &lags.1, &lags.2, &lags.3].into_iter().filter_map(|lag| lag.clone().err());
        Ok(Self {
            kafka_problems: kafka_problems.collect(),
            orders_unpublished: ordering.relay.count().await?,
            oldest_unpublished_order_seconds: ordering.relay.oldest_seconds().await?,
            transitions_unpublished: state_machine.relay.count().await?,
            oldest_unpublished_transition_seconds: state_machine.relay.oldest_seconds().await?,
            assignments_unpublished: dispatch.relay.count().await?,
            oldest_unpublished_assignment_seconds: dispatch.relay.oldest_seconds().await?,
            adoption_lag: lags.0.ok(),
            step_lag: lags.1.ok(),
            mail_lag: lags.2.ok(),
            dispatch_lag: lags.3.ok(),
            analytics_lag: folded.waiting_records,
            analytics_lag_seconds: folded.fold_time.map(|time| (OffsetDateTime::now_utc() - time).as_seconds_f64()),
            orders_active: counts.active,
            timers_due: counts.due,
            orders_stuck: counts.stuck,
            couriers_available: jobs.available,
            orders_waiting_for_a_courier: jobs.waiting,
            orders_held_until_their_time: jobs.held,
            assignments_open: jobs.open,
            steps_stuck: jobs.stuck,
            dead_letters: dead_letters.iter().sum(),
            mails: mails.into_iter().map(|(state, count)| (state_name(state), count)).collect(),
        })
    }
}

fn state_name(state: i16) -> String {
    let state = MailState::try_from(i32::from(state)).unwrap_or_default();
    state.as_str_name().trim_start_matches("MAIL_STATE_").to_lowercase()
}

fn lines(status: &Status) -> Vec<String> {
    let lag = |lag: Option<i64>| lag.map_or("unknown".into(), |lag| format!("{lag} records"));
    let unpublished = |count, seconds| format!("{} (the first for {seconds:.1} s)", counted(count));
    let counts = [
        ("orders not yet published", unpublished(status.orders_unpublished, status.oldest_unpublished_order_seconds)),
        (
            "transitions not yet published",
            unpublished(status.transitions_unpublished, status.oldest_unpublished_transition_seconds),
        ),
        (
            "assignments not yet published",
            unpublished(status.assignments_unpublished, status.oldest_unpublished_assignment_seconds),
        ),
        ("lag of the state machine", lag(status.adoption_lag)),
        ("lag of its steps", lag(status.step_lag)),
        ("lag of the mail ledger", lag(status.mail_lag)),
        ("lag of dispatch", lag(status.dispatch_lag)),
        ("lag of analytics", folded(status)),
        ("active orders", counted(status.orders_active)),
        ("timers due", counted(status.timers_due)),
        ("orders stuck (due for 1 min)", counted(status.orders_stuck)),
        ("available couriers", counted(status.couriers_available)),
        ("orders waiting for a courier", counted(status.orders_waiting_for_a_courier)),
        ("orders held until their time", counted(status.orders_held_until_their_time)),
        ("open offers and assignments", counted(status.assignments_open)),
        ("steps stuck (asked for 1 min)", counted(status.steps_stuck)),
        ("dead letters", counted(status.dead_letters)),
    ];
    let counts = counts.into_iter().map(|(name, value)| format!("{name:<30} {value}"));
    let mails = status.mails.iter().map(|(state, count)| format!("mails {state:<24} {}", counted(*count)));
    let problems = status.kafka_problems.iter().map(|problem| format!("unknown lags: {problem}"));
    counts.chain(mails).chain(problems).collect()
}

/// How far the reports have come.
fn folded(status: &Status) -> String {
    match status.analytics_lag_seconds {
        Some(seconds) => format!("{} records; reports are complete up to {seconds:.0} s ago", status.analytics_lag),
        None => "unknown (the role analytics has not run)".into(),
    }
}

/// A number that was counted up to a limit.
fn counted(count: i64) -> String {
    if count >= MOST_COUNTED { format!(">= {MOST_COUNTED}") } else { count.to_string() }
}

/// Records that a group has not committed yet; fails with why that is not known.
async fn lag(config: kafka::Config, group: String, topic: String, epoch: i64) -> Result<i64, String> {
    let ask = move || {
        let consumer = kafka::open(&config.group_consumer(&format!("{group}-e{epoch}")));
        let consumer: BaseConsumer<Context> = consumer.map_err(|error| error.to_string())?;
        let lag = kafka::ask(&consumer, Work::Read(&topic), |consumer| committed_lag(consumer, &topic));
        lag.map_err(|unanswered| unanswered.reason)
    };
    tokio::task::spawn_blocking(ask).await.map_err(|_| "the question panicked")?
}

fn committed_lag(consumer: &BaseConsumer<Context>, topic: &str) -> KafkaResult<i64> {
    let marks = kafka::watermarks(consumer.client(), topic)?;
    let mut asked = TopicPartitionList::new();
    for partition in marks.keys() {
        asked.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(asked, REQUEST_TIMEOUT)?;
    let lag = marks.iter().map(|(partition, (low, high))| {
        let offset = committed.find_partition(topic, *partition).map(|found| found.offset());
        high - if let Some(Offset::Offset(offset)) = offset { offset } else { *low }
    });
    Ok(lag.sum())
}
