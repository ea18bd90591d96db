//! `comanda customer erase`: removes a person from every table that knows something of them.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use comanda_kit::postgres::{self, Exclusive};
use comanda_notification::operator as notification;
use comanda_ordering::operator as ordering;
use comanda_state_machine::operator as state_machine;
use indicatif::ProgressBar;
use serde::Serialize;

use super::keys::name;

/// `comanda customer`.
#[derive(Args, Clone, Debug)]
pub struct CustomerArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(subcommand)]
    verb: CustomerVerb,
}

#[derive(Clone, Debug, Subcommand)]
enum CustomerVerb {
    /// Erase who a customer is, in all of its orders.
    Erase(EraseArgs),
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Removed: name, mail address, locale, labels, the places of trips, the reasons that were given for commands, and what mail servers answered. The
orders stay, with their numbers, items, totals and history, and the customer's key. It cannot be undone; it can be repeated, as after new orders,
and continues where it was interrupted. docs/access.md says what is kept elsewhere, and for how long.

Like `comanda purge`, it uses the database and needs no key, and the two do not run at the same time. With a key of the tenant's owner,
`comanda order erase-customer` removes the same, except reasons and answers.

Example:
  comanda customer erase ana --tenant acme --yes")]
struct EraseArgs {
    /// The tenant's key for the customer.
    #[arg(value_name = "ID", value_parser = name)]
    customer: String,
    /// The tenant.
    #[arg(long, value_name = "NAME", value_parser = name)]
    tenant: String,
    /// Confirms that it cannot be undone.
    #[arg(long, required = true)]
    yes: bool,
    /// Say what was removed as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    /// Orders that had a name, an address, a locale, labels or places.
    orders: u64,
    labels: u64,
    places: u64,
    reasons: u64,
    /// Mails of which an answer was kept.
    replies: u64,
}

impl Report {
    fn add(&mut self, erased: &ordering::Erased) {
        self.orders += erased.orders;
        self.labels += erased.labels;
        self.places += erased.places;
    }
}

/// Erases, and says what was touched.
pub async fn run(args: CustomerArgs) -> Result<()> {
    let CustomerVerb::Erase(erase) = args.verb;
    let bar = ProgressBar::new_spinner().with_message("erasing");
    let report = erase_everywhere(&args.postgres, &erase, &bar).await;
    bar.finish_and_clear();
    let report = report.context("not everything was erased; run it again")?;
    if erase.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", line(&report));
    }
    Ok(())
}

/// Of each order the names first: from then on nobody writes to the customer, and no new answer comes.
async fn erase_everywhere(postgres: &postgres::Config, args: &EraseArgs, bar: &ProgressBar) -> Result<Report> {
    let EraseArgs { tenant, customer, .. } = args;
    let mut connection = Exclusive::begin(postgres, "comanda customer erase").await?;
    let (operator, mut report, mut below) = (ordering::Operator::connect(postgres)?, Report::default(), None);
    loop {
        let ordering::Batch { order_ids, erased, next } = operator.erase_next(tenant, customer, below).await?;
        report.add(&erased);
        report.reasons += state_machine::erase_reasons(&mut connection, &order_ids).await?;
        report.replies += notification::erase_replies(&mut connection, &order_ids).await?;
        show(bar, report.orders);
        if next.is_none() {
            return Ok(report);
        }
        below = next;
    }
}

fn show(bar: &ProgressBar, orders: u64) {
    bar.set_message(format!("erased in {orders} orders"));
    bar.tick();
}

fn line(report: &Report) -> String {
    let Report { orders, labels, places, reasons, replies } = report;
    format!(
        "erased in {orders} orders: {labels} labels, {places} places, {reasons} reasons, {replies} answers to mails"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_everything_that_was_touched() {
        let report = Report { orders: 2, labels: 3, places: 4, reasons: 1, replies: 5 };
        assert_eq!(line(&report), "erased in 2 orders: 3 labels, 4 places, 1 reasons, 5 answers to mails");
    }
}
