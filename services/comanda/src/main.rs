//! The `comanda` command: every role of Comanda, and its client.

mod client;
mod failure;

use std::{future::Future, process::ExitCode};

use clap::{Parser, Subcommand};
use comanda_kit::telemetry;

use crate::{
    client::{health::HealthArgs, mail::MailArgs, order::OrderArgs},
    failure::Failure,
};

/// Exit codes are a contract with scripts, so they are part of the help.
const AFTER_HELP: &str = "\
Examples:
  comanda order create --product 'Pizza Margherita' --price 12.50 --email ana@example.com
  comanda order watch 1042
  comanda order import products.csv

Exit codes:
  0  done
  1  refused: nothing was applied
  2  wrong usage
  3  no server reached, or the outcome is unknown: repeat with the same request id
  4  there is no such order or mail";

/// Takes an order once and tells everyone where it is.
#[derive(Debug, Parser)]
#[command(name = "comanda", version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    logs: telemetry::Config,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, import, look up, watch and move orders.
    Order(Box<OrderArgs>),
    /// Look at the mails of an order, or send one again.
    Mail(MailArgs),
    /// Ask servers whether they serve.
    Healthcheck(HealthArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init_logs(&cli.logs);
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Order(args) => block_on(client::order::run(*args)),
            Self::Mail(args) => block_on(client::mail::run(args)),
            Self::Healthcheck(args) => block_on(client::health::run(args)),
        }
    }
}

/// The runtime starts only here: a command that replaces its process must do so while it has one thread.
fn block_on<E>(command: impl Future<Output = Result<(), E>>) -> Result<(), Failure>
where
    Failure: From<E>,
{
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::refused(format!("no runtime: {error}")))?;
    Ok(runtime.block_on(command)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
