//! `comanda republish`: publishes orders and their transitions again, from the database, after Kafka lost some.

use anyhow::{Context, Result};
use clap::Args;
use comanda_kit::postgres;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::store::{Store, Which};

/// `comanda republish`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Consumers drop what they know already, so publishing too much is harmless; nobody gets a mail twice. The running
ordering and state-machine publish, in the order of the versions; without them the work waits in the outbox.")]
pub struct RepublishArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct WhichArgs {
    /// One order, by its id.
    #[arg(long, value_name = "ORDER_ID")]
    order: Option<Uuid>,
    /// Orders created at or after a time, such as 2026-11-22T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<OffsetDateTime>,
    /// Every order.
    #[arg(long)]
    all: bool,
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "must look like 2026-11-22T08:00:00Z".into())
}

/// Puts pointers back.
pub async fn run(args: RepublishArgs) -> Result<()> {
    let which = match args.which {
        WhichArgs { order: Some(order_id), .. } => Which::Order(order_id),
        WhichArgs { since: Some(since), .. } => Which::Since(since),
        _ => Which::All,
    };
    let store = Store::connect(&args.postgres)?;
    let orders = republish(&store, which).await.context("nothing, or not everything, was put back; run it again")?;
    println!("{orders} orders will be published again, with all their transitions");
    Ok(())
}

/// Puts the pointers of orders back; returns how many orders.
pub async fn republish(store: &Store, which: Which) -> Result<i64> {
    store.bump_lease_epochs().await?;
    let (mut after, mut orders) = (None, 0);
    loop {
        let progress = store.republish_next(which, after).await?;
        orders += progress.orders;
        if progress.last.is_none() || matches!(which, Which::Order(_)) {
            return Ok(orders);
        }
        after = progress.last;
    }
}
