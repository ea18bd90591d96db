//! Connections to the servers, and calls that are repeated until there is an answer.

use std::time::Duration;

use clap::Args;
use comanda_client::{Address, Client, Code, Config, Error};
use tokio::time::sleep;

/// People who share a connection: a courier has two streams, and a server takes some hundreds on one.
const SHARING: u64 = 50;
const MOST_LINKS: u64 = 200;
/// Between two rounds of repetitions.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// Where the servers are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub(super) struct Servers {
    /// One address for every role (`comanda dev`, `comanda all`); overrides those below.
    #[arg(long, value_name = "ADDR", env = "COMANDA_ADDR")]
    addr: Option<Address>,
    /// Where the role "ordering" listens.
    #[arg(long, value_name = "ADDR", env = "COMANDA_ORDERING_ADDR", default_value = "http://127.0.0.1:50051")]
    ordering_addr: Address,
    /// Where the role "state-machine" listens.
    #[arg(long, value_name = "ADDR", env = "COMANDA_STATE_MACHINE_ADDR", default_value = "http://127.0.0.1:50052")]
    state_machine_addr: Address,
    /// Where the role "notification" listens.
    #[arg(long, value_name = "ADDR", env = "COMANDA_NOTIFICATION_ADDR", default_value = "http://127.0.0.1:50053")]
    notification_addr: Address,
    /// Where the role "dispatch" listens.
    #[arg(long, value_name = "ADDR", env = "COMANDA_DISPATCH_ADDR", default_value = "http://127.0.0.1:50054")]
    dispatch_addr: Address,
}

impl Servers {
    fn config(&self) -> Config {
        let at = |address: &Address| self.addr.as_ref().unwrap_or(address).clone();
        Config {
            state_machine: at(&self.state_machine_addr),
            notification: at(&self.notification_addr),
            dispatch: at(&self.dispatch_addr),
            // Somebody who looks at a telephone does not wait for long before the next try.
            longest_wait: Duration::from_secs(2),
            ..Config::at(at(&self.ordering_addr))
        }
    }
}

/// Some connections to each server, shared by all people. They repair themselves.
#[derive(Debug)]
pub(super) struct Links(Vec<Client>);

impl Links {
    /// Enough for so many people. None is opened yet.
    pub fn new(servers: &Servers, people: u64) -> Self {
        let count = people.div_ceil(SHARING).clamp(1, MOST_LINKS);
        Self((0..count).map(|_| Client::new(servers.config())).collect())
    }

    /// That of the `n`-th one.
    pub fn of(&self, n: u64) -> Client {
        self.0[n as usize % self.0.len()].clone()
    }
}

/// Calls for as long as it takes. The call is one that may be repeated.
pub(super) async fn insist<A, F: Future<Output = Result<A, Error>>>(call: impl Fn() -> F) -> Result<A, Error> {
    loop {
        match call().await {
            Err(error) if may_pass(error.code) => sleep(PAUSE).await,
            end => return end,
        }
    }
}

/// Whether the same call may succeed later.
pub(super) fn may_pass(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    matches!(code, Unavailable | DeadlineExceeded | Cancelled | Internal | Unknown | ResourceExhausted | Aborted)
}
