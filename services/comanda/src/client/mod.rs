//! The client verbs: a command line comes in, gRPC calls go out, lines or JSON come back.

mod address;
mod batch;
mod connect;
mod create;
mod event;
#[cfg(test)]
mod fake;
pub mod health;
mod import;
mod key;
mod list;
pub mod mail;
mod money;
pub mod order;
mod patience;
mod print;
mod rows;
mod seen;
mod show;
mod status;
mod step;
mod tally;
mod watch;
mod watch_order;
mod watch_orders;

use clap::Args;

use self::{connect::Servers, print::Printer};

/// Who orders when nobody is named: the API wants a key, and a first try should not need one.
const DEFAULT_CUSTOMER: &str = "guest";

/// Flags of every client verb.
#[derive(Args, Debug)]
pub struct ClientArgs {
    /// Print one JSON object a line (the canonical JSON of the API's messages) instead of text.
    #[arg(long, global = true)]
    json: bool,
    // Last, for its heading stays on for all that follow.
    #[command(flatten)]
    servers: Servers,
}

/// What a verb works with.
#[derive(Debug)]
pub struct Client {
    servers: Servers,
    print: Printer,
}

impl From<ClientArgs> for Client {
    fn from(args: ClientArgs) -> Self {
        Self { servers: args.servers, print: Printer::new(args.json) }
    }
}
