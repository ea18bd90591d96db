//! `comanda order watch`.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{ArgGroup, Args};
use comanda_proto::v1::{Phase, WatchFilter};

use super::{
    Client,
    key::OrderKey,
    watch_order,
    watch_orders::{self, Board, Start},
};
use crate::failure::Failure;

/// One order from a version on, or all orders from a moment on.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("whom").required(true).args(["order", "all"])))]
#[command(after_help = "\
Interrupted watches resume by themselves where they were; nothing is shown twice. The watch of one order ends when the \
order does. With --json each line is a response of the stream; with --all each carries the resumeToken to go on after it.

Examples:
  comanda order watch 1042
  comanda order watch --all --status preparing,dispatched
  comanda order watch --all --now --json
  comanda order watch --all --resume-token \"$TOKEN\"")]
pub struct WatchArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER")]
    order: Option<OrderKey>,
    /// Only what comes after this version; 0 means from the beginning.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "all", value_parser = clap::value_parser!(i64).range(0..))]
    after_version: i64,
    /// Every order: first those that have not ended as they stand, then what happens.
    #[arg(long)]
    all: bool,
    /// Only orders of this customer.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true, conflicts_with = "order")]
    customer: String,
    /// Only orders of this workflow.
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "order")]
    workflow: String,
    /// Only orders that enter or leave one of these statuses.
    #[arg(long, value_delimiter = ',', conflicts_with = "order")]
    status: Vec<String>,
    /// Only what happens from now on.
    #[arg(long, conflicts_with_all = ["order", "resume_token"])]
    now: bool,
    /// What happened after the response that carried this token; needs the same filters.
    #[arg(long, value_name = "BASE64", conflicts_with = "order")]
    resume_token: Option<Token>,
}

/// Marks a place in the stream of all orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(pub Vec<u8>);

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text.trim()).map_err(|error| format!("not base64: {error}"))?;
        if bytes.is_empty() { Err("is empty".into()) } else { Ok(Self(bytes)) }
    }
}

impl Token {
    /// As it is given on the command line.
    pub fn text(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

/// Prints what happens until the order has ended, or for ever.
pub async fn run(client: &Client, args: WatchArgs) -> Result<(), Failure> {
    match args.order {
        Some(order) => watch_order::run(client, client.order_id(order).await?, args.after_version).await,
        None => watch_orders::run(client, Board::new(args.filter(), args.start())).await,
    }
}

impl WatchArgs {
    fn filter(&self) -> WatchFilter {
        WatchFilter {
            customer_id: self.customer.clone(),
            workflow: self.workflow.clone(),
            statuses: self.status.clone(),
        }
    }

    fn start(&self) -> Start {
        match &self.resume_token {
            Some(token) => Start::After(token.clone()),
            None if self.now => Start::Now,
            None => Start::Snapshot,
        }
    }
}

/// Whether an order in this phase moves no more.
pub fn is_end(phase: Phase) -> bool {
    matches!(phase, Phase::Succeeded | Phase::Cancelled | Phase::Rejected | Phase::Failed)
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
        assert_eq!(start(&["--all"]).ok(), Some(Start::Snapshot));
        assert_eq!(start(&["--all", "--now"]).ok(), Some(Start::Now));
        assert_eq!(start(&["--all", "--resume-token", "AQI="]).ok(), Some(Start::After(Token(vec![1, 2]))));
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
