//! `comanda order watch`.

use clap::{ArgGroup, Args, ValueHint};
use comanda_client::ResumeToken;
use comanda_proto::v1::{
    OrderView, Phase, WatchFilter, WatchOrderRequest, WatchOrdersRequest, watch_orders_request::Start,
};

use super::{Client, key::OrderKey, phase::parse_phase, watch_order, watch_orders};
use crate::failure::Failure;

/// One order from a version on, or all orders from a moment on.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("whom").required(true).args(["order", "all"])))]
#[command(after_help = "\
The watch of one order ends when the order has ended. A watch that is interrupted resumes by itself, for as long as it takes, and \
shows nothing twice; errors about the request itself end it.

A watch of all orders starts with the orders that have not ended. Where its resume token has expired it reads them again; where there \
are more than 10,000 of them, page by page while it already shows what happens. With --json each line is a response of the stream, and \
with --all it carries the resumeToken to go on after it, where there is one.

Examples:
  comanda order watch 1042
  comanda order watch --all --status preparing,dispatched
  comanda order watch --all --phase active --full
  comanda order watch --all --now --json
  comanda order watch --all --resume-token \"$TOKEN\"")]
pub struct WatchArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER")]
    order: Option<OrderKey>,
    /// Only what comes after this version; 0 means from the beginning.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "all", value_parser = clap::value_parser!(i64).range(0..))]
    after_version: i64,
    /// Every order: first those that have not ended as they are, then what happens.
    #[arg(long)]
    all: bool,
    /// Only orders of this customer.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true, conflicts_with = "order")]
    #[arg(value_hint = ValueHint::Other)]
    customer: String,
    /// Only orders of this workflow.
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "order")]
    workflow: String,
    /// Only orders that enter or leave one of these statuses.
    #[arg(long, value_delimiter = ',', conflicts_with = "order")]
    status: Vec<String>,
    /// Only orders that enter or leave one of these phases: active, succeeded, cancelled, rejected, failed.
    #[arg(long, value_delimiter = ',', value_parser = parse_phase, conflicts_with = "order")]
    phase: Vec<Phase>,
    /// Also who the customers are: name, mail address and locale.
    #[arg(long)]
    full: bool,
    /// Only what happens from now on.
    #[arg(long, conflicts_with_all = ["order", "resume_token"])]
    now: bool,
    /// What happened after the response that carried this token; needs the same filters.
    #[arg(long, value_name = "BASE64", conflicts_with = "order")]
    resume_token: Option<ResumeToken>,
}

/// Prints what happens until the order has ended, or forever.
pub async fn run(client: &Client, args: WatchArgs) -> Result<(), Failure> {
    match args.order {
        Some(order) => watch_order::run(client, args.order_request(client.order_id(order).await?)).await,
        None => watch_orders::run(client, args.orders_request()).await,
    }
}

impl WatchArgs {
    fn order_request(self, order_id: String) -> WatchOrderRequest {
        WatchOrderRequest { order_id, after_version: self.after_version, view: self.view().into() }
    }

    fn orders_request(self) -> WatchOrdersRequest {
        let (view, start) = (self.view().into(), Some(self.start()));
        let filter = WatchFilter {
            customer_id: self.customer,
            workflow: self.workflow,
            statuses: self.status,
            phases: self.phase.into_iter().map(Into::into).collect(),
        };
        WatchOrdersRequest { filter: Some(filter), view, start }
    }

    fn view(&self) -> OrderView {
        if self.full { OrderView::Full } else { OrderView::Basic }
    }

    fn start(&self) -> Start {
        match &self.resume_token {
            Some(token) => Start::ResumeToken(token.as_bytes().to_vec().into()),
            None if self.now => Start::Now(Default::default()),
            None => Start::Snapshot(Default::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: WatchArgs,
    }

    fn start(args: &[&str]) -> Result<Start, clap::Error> {
        Cli::try_parse_from([&["watch"], args].concat()).map(|cli| cli.args.start())
    }

    #[test]
    fn a_watch_of_all_starts_with_a_snapshot_unless_told_otherwise() {
        assert_eq!(start(&["--all"]).ok(), Some(Start::Snapshot(Default::default())));
        assert_eq!(start(&["--all", "--now"]).ok(), Some(Start::Now(Default::default())));
        let token = start(&["--all", "--resume-token", "AQI="]).ok();
        assert_eq!(token, Some(Start::ResumeToken([1, 2].as_slice().into())));
    }

    #[test]
    fn flags_of_the_other_kind_of_watch_are_wrong_usage() {
        for args in [&[][..], &["1", "--all"], &["1", "--now"], &["--all", "--after-version", "1"]] {
            assert!(start(args).is_err(), "{args:?}");
        }
        assert!(start(&["--all", "--resume-token", "%"]).is_err());
        assert!(start(&["1", "--after-version", "2"]).is_ok());
    }
}
