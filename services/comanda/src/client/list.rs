//! `comanda order list`.

use clap::{Args, ValueHint};
use comanda_proto::v1::{ListOrdersRequest, ListOrdersResponse, OrderView, Phase};
use prost_types::Timestamp;

use super::{Client, moment::parse_moment, phase::parse_phase, show};
use crate::failure::Failure;

/// The most that the server puts on a page.
const MAX_PAGE_SIZE: usize = 500;

/// Which orders. All filters given must hold.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Shown is what is not personal, of the customer only the id; with --full and --json also name, mail address and locale. Times carry an \
offset from UTC; what was understood is printed in UTC.

Examples:
  comanda order list --phase active
  comanda order list --status preparing,dispatched --customer ana --limit 0
  comanda order list --created-from 2026-11-01T00:00:00-03:00 --json | jq -r .orderId")]
pub struct ListArgs {
    /// Only orders in one of these statuses.
    #[arg(long, value_delimiter = ',')]
    status: Vec<String>,
    /// Only orders in one of these phases: active, succeeded, cancelled, rejected, failed.
    #[arg(long, value_delimiter = ',', value_parser = parse_phase)]
    phase: Vec<Phase>,
    /// Only orders of this customer.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    #[arg(value_hint = ValueHint::Other)]
    customer: String,
    /// Only orders of this workflow.
    #[arg(long, default_value = "", hide_default_value = true)]
    workflow: String,
    /// Only orders created at or after this time: 2026-11-01T03:00:00Z or 2026-11-01T00:00:00-03:00.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    created_from: Option<Timestamp>,
    /// Only orders created before this time: 2026-11-01T03:00:00Z or 2026-11-01T00:00:00-03:00.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    created_before: Option<Timestamp>,
    /// Also who the customers are: name, mail address and locale.
    #[arg(long)]
    full: bool,
    /// How many at most; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Prints the newest orders first.
pub async fn run(client: &Client, args: ListArgs) -> Result<(), Failure> {
    if let Some(text) = understood(&args) {
        client.print.notice(&text);
    }
    let mut remaining = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut page_token = String::new();
    while remaining > 0 {
        let is_first = page_token.is_empty();
        let page = client.api.list_orders(request(&args, remaining, page_token)).await?;
        if is_first {
            client.print.heading(|paint| show::header(args.full, paint))?;
        }
        remaining -= print(client, &page, &args, remaining)?;
        // A page may be short or empty and still not be the last.
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    Ok(())
}

/// The times that were given, in UTC.
fn understood(args: &ListArgs) -> Option<String> {
    let from = args.created_from.map(|time| format!(" from {time}"));
    let before = args.created_before.map(|time| format!(" before {time}"));
    (from.is_some() || before.is_some())
        .then(|| format!("orders created{}{}", from.unwrap_or_default(), before.unwrap_or_default()))
}

fn request(args: &ListArgs, remaining: usize, page_token: String) -> ListOrdersRequest {
    let view = if args.full { OrderView::Full } else { OrderView::Basic };
    ListOrdersRequest {
        page_size: remaining.min(MAX_PAGE_SIZE) as i32,
        page_token,
        statuses: args.status.clone(),
        phases: args.phase.iter().map(|phase| i32::from(*phase)).collect(),
        customer_id: args.customer.clone(),
        workflow: args.workflow.clone(),
        created_from_time: args.created_from,
        created_before_time: args.created_before,
        view: view.into(),
    }
}

/// Returns how many it printed.
fn print(client: &Client, page: &ListOrdersResponse, args: &ListArgs, at_most: usize) -> Result<usize, Failure> {
    let orders = &page.orders[..page.orders.len().min(at_most)];
    for order in orders {
        client.print.show("comanda.v1.Order", order, |paint| show::row(order, args.full, paint))?;
    }
    Ok(orders.len())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ListArgs,
    }

    fn parse(args: &[&str]) -> Result<ListArgs, clap::Error> {
        Cli::try_parse_from([&["list"], args].concat()).map(|cli| cli.args)
    }

    #[test]
    fn what_was_understood_of_the_times_is_said_in_utc() {
        let args = parse(&["--created-from", "2026-03-29T00:30:00+02:00", "--created-before", "2026-03-30T00:00:00Z"]);
        assert_eq!(
            understood(&args.expect("valid")).as_deref(),
            Some("orders created from 2026-03-28T22:30:00Z before 2026-03-30T00:00:00Z")
        );
        assert_eq!(understood(&parse(&[]).expect("valid")), None);
        let error = parse(&["--created-before", "2026-03-30T00:00:00"]).expect_err("no offset").to_string();
        assert!(error.contains("no time with an offset"), "{error}");
    }

    #[test]
    fn nothing_personal_is_asked_for_unless_wanted() {
        let view = |args: &[&str]| request(&parse(args).expect("valid"), 1, String::new()).view();
        assert_eq!((view(&[]), view(&["--full"])), (OrderView::Basic, OrderView::Full));
    }
}
