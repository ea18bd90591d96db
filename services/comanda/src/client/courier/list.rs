//! `comanda courier list`.

use clap::Args;
use comanda_proto::v1::{CourierStatus, ListCouriersRequest};

use super::{super::Client, parse_status, show};
use crate::failure::Failure;

/// The most that the server puts on a page.
const MAX_PAGE_SIZE: i32 = 500;

/// Which couriers. All filters given must hold.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda courier list
  comanda courier list --status available --zone centro --json | jq -r .courier.courierId")]
pub struct ListArgs {
    /// Only couriers that are one of these: available, paused, offline.
    #[arg(long, value_delimiter = ',', value_parser = parse_status)]
    status: Vec<CourierStatus>,
    /// Only couriers of this zone.
    #[arg(long, default_value = "", hide_default_value = true)]
    zone: String,
}

/// Prints them by their keys.
pub async fn run(client: &Client, args: ListArgs) -> Result<(), Failure> {
    let statuses = args.status.into_iter().map(Into::into).collect();
    let mut request = ListCouriersRequest { page_size: MAX_PAGE_SIZE, statuses, zone: args.zone, ..Default::default() };
    client.print.heading(show::header)?;
    loop {
        let page = client.api.list_couriers(request.clone()).await?;
        for courier in &page.couriers {
            client.print.show(show::NAME, courier, |paint| show::row(courier, paint))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}
