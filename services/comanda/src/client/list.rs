//! `comanda order list`.

use clap::Args;
use comanda_proto::v1::{ListOrdersRequest, ListOrdersResponse, OrderView, Phase};
use prost_types::Timestamp;

use super::{Client, show};
use crate::failure::Failure;

/// The most that the server puts on a page.
const MAX_PAGE_SIZE: usize = 500;

/// Which orders. All filters given must hold.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda order list --phase active
  comanda order list --status preparing,dispatched --customer ana --limit 0
  comanda order list --created-from 2026-11-01T00:00:00Z --json | jq -r .orderId")]
pub struct ListArgs {
    /// Only orders in one of these statuses.
    #[arg(long, value_delimiter = ',')]
    status: Vec<String>,
    /// Only orders in one of these phases: active, succeeded, cancelled, rejected, failed.
    #[arg(long, value_delimiter = ',', value_parser = parse_phase)]
    phase: Vec<Phase>,
    /// Only orders of this customer.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    customer: String,
    /// Only orders of this workflow.
    #[arg(long, default_value = "", hide_default_value = true)]
    workflow: String,
    /// Only orders created at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    created_from: Option<Timestamp>,
    /// Only orders created before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    created_before: Option<Timestamp>,
    /// How many at most; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Prints the newest orders first.
pub async fn run(client: &Client, args: ListArgs) -> Result<(), Failure> {
    let mut orders = client.servers.orders().await?;
    let mut remaining = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut page_token = String::new();
    while remaining > 0 {
        let is_first = page_token.is_empty();
        let request = client.servers.request(request(&args, remaining, page_token));
        let page = client.servers.answer(orders.list_orders(request)).await?;
        if is_first {
            client.print.heading(show::header)?;
        }
        remaining -= print(client, &page, remaining)?;
        // A page may be short or empty and still not be the last.
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    Ok(())
}

fn request(args: &ListArgs, remaining: usize, page_token: String) -> ListOrdersRequest {
    ListOrdersRequest {
        page_size: remaining.min(MAX_PAGE_SIZE) as i32,
        page_token,
        statuses: args.status.clone(),
        phases: args.phase.iter().map(|phase| i32::from(*phase)).collect(),
        customer_id: args.customer.clone(),
        workflow: args.workflow.clone(),
        created_from_time: args.created_from,
        created_before_time: args.created_before,
        view: OrderView::Full.into(),
    }
}

/// Returns how many it printed.
fn print(client: &Client, page: &ListOrdersResponse, at_most: usize) -> Result<usize, Failure> {
    let orders = &page.orders[..page.orders.len().min(at_most)];
    for order in orders {
        client.print.show("comanda.v1.Order", order, |paint| show::row(order, paint))?;
    }
    Ok(orders.len())
}

fn parse_phase(text: &str) -> Result<Phase, String> {
    Phase::from_str_name(&format!("PHASE_{}", text.to_uppercase()))
        .filter(|phase| *phase != Phase::Unspecified)
        .ok_or_else(|| format!("{text:?} is none of active, succeeded, cancelled, rejected, failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_one_of_five_words() {
        assert_eq!(parse_phase("active"), Ok(Phase::Active));
        assert!(parse_phase("unspecified").is_err());
        assert!(parse_phase("delivered").is_err());
    }
}
