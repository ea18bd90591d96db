//! The `comanda` command: every role of Comanda, and its client.

mod client;
#[cfg(feature = "dev")]
mod dev;
mod failure;
mod migrate;
mod operate;
mod roles;
mod terminal;

use std::{future::Future, process::ExitCode};

use clap::{Parser, Subcommand};
use comanda_kit::{settings, telemetry, traces};

use crate::{
    client::{
        assignment::AssignmentArgs, courier::CourierArgs, health::HealthArgs, mail::MailArgs, order::OrderArgs,
        ride::RideArgs, stats::StatsArgs, workflow::WorkflowArgs,
    },
    failure::{Exit, Failure},
    migrate::MigrateArgs,
    operate::{
        audit::AuditArgs, customer::CustomerArgs, dead_letters::DeadLettersArgs, keys::AccessArgs, keys::KeyArgs,
        purge::PurgeArgs, republish::RepublishArgs, status::StatusArgs,
    },
    roles::{AllArgs, AnalyticsArgs, DispatchArgs, GatewayArgs, NotificationArgs, OrderingArgs, StateMachineArgs},
};

/// Under load glibc's took about a tenth of the roles' processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes are a contract with scripts, so they are part of the help.
const AFTER_HELP: &str = "\
Examples:
  comanda order create --product 'Pizza Margherita' --price 12.50 --email ana@example.com
  comanda order watch 1042
  comanda order import products.csv
  comanda ride request --from -33.437,-70.651 --to -33.426,-70.613
  comanda courier watch maria
  comanda stats orders --from 36h

Exit codes of 'order', 'ride', 'courier', 'assignment', 'mail', 'workflow' and 'stats':
  0  done
  1  refused: nothing was applied
  2  wrong usage
  3  no server reached, or the outcome is unknown: repeat with the same request id
  4  there is no such order, courier, assignment, mail or workflow

Exit codes of all other commands:
  0  done
  1  not done, or not all of it: the message says why
  2  wrong usage";

/// Takes an order once and tells everyone where it is.
#[derive(Debug, Parser)]
#[command(name = "comanda", version, after_help = AFTER_HELP, arg_required_else_help = true, args_override_self = true)]
struct Cli {
    #[command(flatten)]
    logs: telemetry::Config,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every role with embedded parts: nothing to install.
    #[cfg(feature = "dev")]
    Dev(Box<dev::DevArgs>),
    /// Run `dev`, and show sample orders, or rides, as they move.
    #[cfg(feature = "dev")]
    Demo(Box<dev::DemoArgs>),
    /// Run the role that takes orders.
    Ordering(OrderingArgs),
    /// Run the role that moves orders through their workflows.
    StateMachine(StateMachineArgs),
    /// Run the role that streams transitions to watchers and sends mails.
    Notification(Box<NotificationArgs>),
    /// Run the role that finds couriers.
    Dispatch(DispatchArgs),
    /// Run the role that counts what happens, for reports.
    Analytics(AnalyticsArgs),
    /// Run the role that speaks HTTP: REST, events for browsers, Connect, gRPC-Web.
    Gateway(Box<GatewayArgs>),
    /// Run every role in one process, on one port, and HTTP on another.
    All(Box<AllArgs>),
    /// Make or update the database's schema and Kafka's topics.
    Migrate(MigrateArgs),
    /// Publish orders again, after Kafka lost some.
    Republish(RepublishArgs),
    /// Remove orders that ended long ago.
    Purge(PurgeArgs),
    /// Erase a customer's personal data.
    Customer(CustomerArgs),
    /// Make the first API key of a tenant.
    Access(AccessArgs),
    /// Make, list, roll and revoke API keys.
    Key(KeyArgs),
    /// Show what was done with keys, and which calls were denied.
    Audit(AuditArgs),
    /// List, retry or drop records that could not be applied.
    DeadLetters(DeadLettersArgs),
    /// Show what waits: outboxes, lags, timers, mails.
    Status(StatusArgs),
    /// Measure throughput, latencies and costs, and check that no order was lost.
    #[cfg(feature = "load")]
    Load(Box<comanda_load::command::LoadArgs>),
    /// Create, import, look up, watch and move orders.
    Order(Box<OrderArgs>),
    /// Ask for rides.
    Ride(Box<RideArgs>),
    /// Register couriers, set their status and position, follow their jobs.
    Courier(Box<CourierArgs>),
    /// See which courier has which order; accept, decline, assign, withdraw and complete jobs.
    Assignment(AssignmentArgs),
    /// Look at the mails of an order, or send one again.
    Mail(MailArgs),
    /// Look at the workflows that orders follow, choose a revision, check workflow files.
    Workflow(WorkflowArgs),
    /// Count orders: by status and hour, how long they stay, how they end, revenue, couriers.
    Stats(Box<StatsArgs>),
    /// Check the health of servers.
    Healthcheck(HealthArgs),
}

fn main() -> ExitCode {
    let cli: Cli = settings::parse();
    telemetry::init_logs(&cli.logs);
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "dev")]
            Self::Dev(args) => dev::run(*args),
            #[cfg(feature = "dev")]
            Self::Demo(args) => dev::run_demo(*args),
            Self::Ordering(args) => block_on(roles::ordering(args)),
            Self::StateMachine(args) => block_on(roles::state_machine(args)),
            Self::Notification(args) => block_on(roles::notification(*args)),
            Self::Dispatch(args) => block_on(roles::dispatch(args)),
            Self::Analytics(args) => block_on(roles::analytics(args)),
            Self::Gateway(args) => block_on(roles::gateway(*args)),
            Self::All(args) => block_on(roles::all(*args)),
            Self::Migrate(args) => block_on(migrate::run(args)),
            Self::Customer(args) => block_on(operate::customer::run(args)),
            Self::Republish(args) => block_on(operate::republish::run(args)),
            Self::Purge(args) => block_on(operate::purge::run(args)),
            Self::Access(args) => block_on(operate::keys::run_access(args)),
            Self::Key(args) => block_on(operate::keys::run(args)),
            Self::Audit(args) => block_on(operate::audit::run(args)),
            Self::DeadLetters(args) => block_on(operate::dead_letters::run(args)),
            Self::Status(args) => block_on(status(args)),
            #[cfg(feature = "load")]
            Self::Load(args) => block_on(comanda_load::command::run(*args)),
            Self::Order(args) => block_on(client::order::run(*args)),
            Self::Ride(args) => block_on(client::ride::run(*args)),
            Self::Courier(args) => block_on(client::courier::run(*args)),
            Self::Assignment(args) => block_on(client::assignment::run(args)),
            Self::Mail(args) => block_on(client::mail::run(args)),
            Self::Workflow(args) => block_on(client::workflow::run(args)),
            Self::Stats(args) => block_on(client::stats::run(*args)),
            Self::Healthcheck(args) => block_on(client::health::run(args)),
        }
    }
}

async fn status(args: StatusArgs) -> Result<(), Failure> {
    let is_fine = operate::status::run(args).await?;
    if is_fine {
        Ok(())
    } else {
        Err(Failure::new(Exit::Refused, "orders are stuck or there are dead letters; see above"))
    }
}

/// The runtime starts only here: a command that replaces its process must do so while it has one thread.
fn block_on<E>(command: impl Future<Output = Result<(), E>>) -> Result<(), Failure>
where
    Failure: From<E>,
{
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::refused(format!("no runtime: {error}")))?;
    let result = runtime.block_on(command);
    traces::stop();
    // What still blocks a thread (a consumer that its group does not let go) would hold up the exit for as long as it likes.
    runtime.shutdown_background();
    Ok(result?)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{Arg, CommandFactory};

    use super::*;

    /// The arguments of every command that have a variable.
    fn with_variables(command: &clap::Command) -> Vec<Arg> {
        let own = command.get_arguments().filter(|arg| arg.get_env().is_some()).cloned();
        own.chain(command.get_subcommands().flat_map(with_variables)).collect()
    }

    /// What is left of them where every variable has this value.
    fn with_value(value: &str) -> Vec<Arg> {
        with_variables(&settings::with_variables(Cli::command(), &|_| Some(OsString::from(value))))
    }

    #[test]
    fn every_variable_may_be_empty() {
        assert!(with_variables(&Cli::command()).len() > 100);
        assert_eq!(with_value("").iter().map(Arg::get_id).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn every_switch_may_be_switched_off_by_its_variable() {
        let all = with_variables(&Cli::command());
        let is_bool = |arg: &&Arg| arg.get_value_parser().type_id() == std::any::TypeId::of::<bool>();
        assert!(all.iter().filter(is_bool).count() > 5 && all.iter().filter(is_bool).all(settings::is_switch));
        for value in ["0", "no", "false", "off"] {
            assert_eq!(with_value(value).iter().filter(is_bool).count(), 0, "{value}");
        }
        assert_eq!(with_value("yes").iter().filter(is_bool).count(), all.iter().filter(is_bool).count());
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
