//! `comanda assignment list`.

use clap::{Args, ValueHint};
use comanda_proto::v1::{ListAssignmentsRequest, OrderView};

use super::{
    super::{Client, key::OrderKey},
    show,
};
use crate::failure::Failure;

/// The most that the server puts on a page.
const MAX_PAGE_SIZE: usize = 500;

/// Which assignments. All filters given must hold.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda assignment list --open
  comanda assignment list --order 1042
  comanda assignment list --courier maria --limit 0 --json")]
pub struct ListArgs {
    /// Only of this order, by its id or number.
    #[arg(long, value_name = "ID|NUMBER")]
    order: Option<OrderKey>,
    /// Only of this courier.
    #[arg(long, value_name = "COURIER", default_value = "", hide_default_value = true, value_hint = ValueHint::Other)]
    courier: String,
    /// Only those that have not ended.
    #[arg(long)]
    open: bool,
    /// With --json: also the places of the trips and what is carried.
    #[arg(long)]
    full: bool,
    /// How many at most; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Prints the newest first.
pub async fn run(client: &Client, args: ListArgs) -> Result<(), Failure> {
    let mut request = request(client, &args).await?;
    let mut remaining = if args.limit == 0 { usize::MAX } else { args.limit };
    client.print.heading(show::header)?;
    loop {
        request.page_size = remaining.min(MAX_PAGE_SIZE) as i32;
        let page = client.api.list_assignments(request.clone()).await?;
        for assignment in page.assignments.iter().take(remaining) {
            client.print.show(show::NAME, assignment, |paint| show::row(assignment, paint))?;
        }
        remaining = remaining.saturating_sub(page.assignments.len());
        // A page may be short or empty and still not be the last.
        if remaining == 0 || page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

async fn request(client: &Client, args: &ListArgs) -> Result<ListAssignmentsRequest, Failure> {
    let order_id = match args.order {
        Some(key) => client.order_id(key).await?,
        None => String::new(),
    };
    let view = if args.full { OrderView::Full } else { OrderView::Basic };
    Ok(ListAssignmentsRequest {
        order_id,
        courier_id: args.courier.clone(),
        open_only: args.open,
        view: view.into(),
        ..Default::default()
    })
}
