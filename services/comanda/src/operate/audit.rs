//! `comanda audit`: what was done with keys, and which calls were denied.

use anyhow::Result;
use clap::{Args, Subcommand};
use comanda_kit::{
    access::store::operator::{Audited, Operator},
    postgres,
};

use super::{
    invoker,
    lines::{moment, print_lines},
};
use crate::terminal::escape;

/// `comanda audit`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Rows are only ever added. Denials are counted for each caller and rpc, and written once a minute. Who did what to an order is in its history.")]
pub struct AuditArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Clone, Debug, Subcommand)]
enum AuditVerb {
    /// Show it, the newest first.
    List(ListArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Only what concerns this tenant [default: the whole installation].
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// At most so many rows.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

/// Prints it.
pub async fn run(args: AuditArgs) -> Result<()> {
    let AuditVerb::List(ListArgs { tenant, limit }) = args.verb;
    let rows = Operator::connect(&args.postgres, &invoker())?.audit(tenant.as_deref(), limit).await?;
    Ok(print_lines(rows.iter().map(line))?)
}

/// Names may be anything that a provider's token said: nothing of them reaches a terminal unescaped.
fn line(row: &Audited) -> String {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { escape(text).into_owned() };
    let times = if row.count > 1 { format!("  ({} times)", row.count) } else { String::new() };
    let (audit_time, action) = (moment(row.audit_time), &row.action);
    let (tenant, subject) = (or_dash(&row.tenant), or_dash(&row.subject));
    format!("{audit_time}  {tenant}  {subject}  {action}  {}{times}", escape(&row.detail))
}
