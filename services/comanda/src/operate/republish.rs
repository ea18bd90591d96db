//! `comanda republish`: publishes orders, their transitions and their assignments again, from the database, after Kafka lost some.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result};
use clap::Args;
use comanda_analytics::operator as analytics;
use comanda_dispatch::operator as dispatch;
use comanda_kit::postgres::{self, Exclusive, StoreError};
use comanda_notification::operator as notification;
use comanda_ordering::operator as ordering;
use comanda_state_machine::operator as state_machine;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::CHUNK;

/// `comanda republish`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Consumers drop what they know already, so publishing too much is harmless; no mail is sent twice and no courier is allotted
twice. The running ordering, state-machine and dispatch publish, in the order of the versions; without them the work waits in
the outbox. It does not run at the same time as `comanda purge`.")]
pub struct RepublishArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    which: WhichArgs,
    /// Only orders of this tenant [default: the whole installation].
    #[arg(long, value_name = "NAME", conflicts_with = "order")]
    tenant: Option<String>,
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

/// Which orders to publish again.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// All.
    All,
    /// Those created at or after a time.
    Since(OffsetDateTime),
    /// One.
    Order(Uuid),
    /// Those that have not ended, whose job is open, some of whose assignments are not published, or some of whose transitions have no row
    /// in the mail ledger.
    Unfinished,
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
    let orders = republish(&args.postgres, which, args.tenant.as_deref()).await?;
    println!("{orders} orders will be published again, with all their transitions and assignments");
    Ok(())
}

/// Puts the pointers of orders back, of one tenant or of all; returns how many orders.
pub async fn republish(postgres: &postgres::Config, which: Which, tenant: Option<&str>) -> Result<usize> {
    let mut connection = Exclusive::begin(postgres, "comanda republish").await?;
    ordering::Operator::connect(postgres)?.relay.begin_term().await?;
    state_machine::Operator::connect(postgres)?.relay.begin_term().await?;
    let assignments = dispatch::Operator::connect(postgres)?.relay;
    assignments.begin_term().await?;
    let waiting = if matches!(which, Which::Unfinished) { assignments.waiting().await? } else { None };
    let put_back = put_back(&mut connection, which, tenant, waiting).await;
    put_back.context("nothing, or not everything, was put back; run it again")
}

/// `waiting` are the orders with assignments that are not published, where only unfinished orders are chosen: without it every order counts
/// as one.
async fn put_back(
    connection: &mut Exclusive,
    which: Which,
    tenant: Option<&str>,
    waiting: Option<HashSet<Uuid>>,
) -> Result<usize, StoreError> {
    if let Which::Order(order_id) = which {
        let order_ids = ordering::existing(connection, &[order_id]).await?;
        return put_back_orders(connection, &order_ids).await;
    }
    let since = if let Which::Since(since) = which { Some(since) } else { None };
    let (mut after, mut orders) = (None, 0);
    loop {
        let chunk = ordering::orders(connection, after, since, tenant, CHUNK).await?;
        let Some((last, _)) = chunk.last() else { return Ok(orders) };
        after = Some(*last);
        let mut order_ids: Vec<Uuid> =
            chunk.iter().filter(|(_, chosen)| *chosen).map(|(order_id, _)| *order_id).collect();
        if let Some(waiting) = &waiting {
            order_ids = unfinished(connection, &order_ids, waiting).await?;
        }
        orders += put_back_orders(connection, &order_ids).await?;
    }
}

async fn put_back_orders(connection: &mut Exclusive, order_ids: &[Uuid]) -> Result<usize, StoreError> {
    ordering::put_back(connection, order_ids).await?;
    state_machine::put_back(connection, order_ids).await?;
    dispatch::put_back(connection, order_ids).await?;
    Ok(order_ids.len())
}

/// Those that have not ended, whose job is open, who wait to be published, or whose mail ledger lacks a transition.
async fn unfinished(
    connection: &mut Exclusive,
    order_ids: &[Uuid],
    waiting: &HashSet<Uuid>,
) -> Result<Vec<Uuid>, StoreError> {
    let mut unfinished: BTreeSet<_> = state_machine::unfinished(connection, order_ids).await?.into_iter().collect();
    let transitions = state_machine::transitions(connection, order_ids).await?;
    unfinished.extend(dispatch::unfinished(connection, order_ids).await?);
    unfinished.extend(order_ids.iter().filter(|order_id| waiting.contains(*order_id)));
    unfinished.extend(notification::missing(connection, &transitions).await?);
    unfinished.extend(analytics::uncounted(connection, &transitions).await?);
    Ok(unfinished.into_iter().collect())
}
