//! The client verbs: a command line comes in, gRPC calls go out, lines or JSON come back.

mod advice;
pub mod assignment;
mod batch;
pub mod connect;
pub mod courier;
mod create;
mod event;
#[cfg(test)]
mod fake;
pub mod health;
mod import;
mod interruption;
mod key;
mod list;
pub mod mail;
mod moment;
mod money;
pub mod order;
mod phase;
mod place;
mod print;
pub mod ride;
mod show;
pub mod stats;
mod status;
mod step;
mod tally;
mod trip;
pub mod trust;
mod watch;
mod watch_order;
mod watch_orders;
pub mod workflow;

use clap::Args;

use self::{
    connect::{Servers, TokenArgs},
    print::Printer,
};
use crate::failure::Failure;

/// The customer where none is named: the API requires one, and a first try should not.
const DEFAULT_CUSTOMER: &str = "guest";

/// Flags of every client verb.
#[derive(Args, Debug)]
pub struct ClientArgs {
    /// Print one JSON object a line (the canonical JSON of the API's messages) instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    token: TokenArgs,
    // Last: its heading applies to every flag after it.
    #[command(flatten)]
    servers: Servers,
}

/// What a verb works with.
#[derive(Debug)]
pub struct Client {
    servers: Servers,
    api: comanda_client::Client,
    print: Printer,
}

impl TryFrom<ClientArgs> for Client {
    type Error = Failure;

    fn try_from(args: ClientArgs) -> Result<Self, Failure> {
        let config = comanda_client::Config { credentials: args.token.credentials()?, ..args.servers.config() };
        Ok(Self { servers: args.servers, api: comanda_client::Client::new(config), print: Printer::new(args.json) })
    }
}
