//! `comanda purge`: removes orders that ended long ago, whole.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result};
use clap::Args;
use comanda_dispatch::operator as dispatch;
use comanda_kit::postgres::{self, Exclusive, StoreError, bounded};
use comanda_notification::operator as notification;
use comanda_ordering::operator as ordering;
use comanda_state_machine::operator as state_machine;
use indicatif::ProgressBar;
use sqlx::Connection;
use uuid::Uuid;

use super::CHUNK;

/// Kafka keeps 7 days, and the segment that is open as much again: younger orders could come back from there.
const MIN_DAYS: u16 = 15;

/// `comanda purge`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
An order is removed with its history, its mails and its assignments, and only if nothing of it is still to be published or mailed.
There is no way back: make a backup first. It does not run at the same time as `comanda republish`.")]
pub struct PurgeArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    /// Orders that ended at least this many days ago, by the database's clock; at least 15.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(i64::from(MIN_DAYS)..))]
    older_than: u16,
    /// Only orders of this tenant [default: the whole installation].
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The system runs with `--no-mails`, so that orders without any mail owe none.
    #[arg(long, env = "COMANDA_NO_MAILS")]
    no_mails: bool,
}

/// Removes old orders, a chunk at a time.
pub async fn run(args: PurgeArgs) -> Result<()> {
    let mut connection = Exclusive::begin(&args.postgres, "comanda purge").await?;
    let unpublished = unpublished(&args.postgres).await?;
    let bar = ProgressBar::new_spinner().with_message("orders removed");
    let (mut after, mut removed) = (None, 0);
    loop {
        let chunk =
            state_machine::ended(&mut connection, after, args.tenant.as_deref(), args.older_than, CHUNK).await?;
        let Some(last) = chunk.last() else { break };
        after = Some(last.order_id);
        let old = chunk.iter().filter(|order| order.is_old).map(|order| (order.order_id, order.version));
        let order_ids = removable(&mut connection, old.collect(), &unpublished, !args.no_mails).await?;
        remove(&mut connection, &order_ids).await?;
        removed += order_ids.len();
        bar.set_message(format!("{removed} orders removed"));
        bar.tick();
    }
    bar.finish_and_clear();
    println!("{removed} orders removed");
    Ok(())
}

/// The orders of which something is still to be published. Nothing is added for those that ended long ago: only `comanda republish` would,
/// which does not run now, or a job that is open.
async fn unpublished(postgres: &postgres::Config) -> Result<HashSet<Uuid>> {
    let mut unpublished = HashSet::new();
    for relay in [
        ordering::Operator::connect(postgres)?.relay,
        state_machine::Operator::connect(postgres)?.relay,
        dispatch::Operator::connect(postgres)?.relay,
    ] {
        let waiting = relay.waiting().await?;
        unpublished
            .extend(waiting.context("too much is still to be published; nothing was removed, run it again later")?);
    }
    Ok(unpublished)
}

/// Those of which nothing is still to be published or mailed.
async fn removable(
    connection: &mut Exclusive,
    old: Vec<(Uuid, i64)>,
    unpublished: &HashSet<Uuid>,
    needs_ledger: bool,
) -> Result<Vec<Uuid>, StoreError> {
    let mut settled = notification::settled(connection, &old, needs_ledger).await?;
    settled.retain(|order_id| !unpublished.contains(order_id));
    let open: BTreeSet<_> = dispatch::unfinished(connection, &settled).await?.into_iter().collect();
    Ok(settled.into_iter().filter(|order_id| !open.contains(order_id)).collect())
}

/// Removes orders whole: all of each, or nothing.
async fn remove(connection: &mut Exclusive, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let mut transaction = bounded(connection.begin()).await?;
    notification::remove(&mut transaction, order_ids).await?;
    dispatch::remove(&mut transaction, order_ids).await?;
    state_machine::remove(&mut transaction, order_ids).await?;
    ordering::remove(&mut transaction, order_ids).await?;
    bounded(transaction.commit()).await
}
