//! Reaching the servers: one address for each role, or one for all.

use std::{error::Error, future::Future, time::Duration};

use clap::Args;
use comanda_proto::v1::{
    lifecycle_service_client::LifecycleServiceClient, mail_service_client::MailServiceClient,
    order_service_client::OrderServiceClient, watch_service_client::WatchServiceClient,
};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use super::{address::Address, status::root_cause};
use crate::failure::{Exit, Failure};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A watch is silent for long; pings find a peer that is gone without a word.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the servers are and how long to wait for an answer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub struct Servers {
    /// One address for every role (`comanda dev`, `comanda all`); overrides the three below.
    #[arg(long, value_name = "ADDR", env = "COMANDA_ADDR", global = true)]
    addr: Option<Address>,
    /// Where the role "ordering" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_ORDERING_ADDR",
        default_value = "http://127.0.0.1:50051",
        global = true
    )]
    ordering_addr: Address,
    /// Where the role "state-machine" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_STATE_MACHINE_ADDR",
        default_value = "http://127.0.0.1:50052",
        global = true
    )]
    state_machine_addr: Address,
    /// Where the role "notification" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_NOTIFICATION_ADDR",
        default_value = "http://127.0.0.1:50053",
        global = true
    )]
    notification_addr: Address,
    /// The deadline of each call, in milliseconds. Watches have none.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..=3_600_000),
        global = true
    )]
    timeout_ms: u64,
}

/// Who serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Orders.
    Ordering,
    /// Commands and histories.
    StateMachine,
    /// Watches and mails.
    Notification,
}

impl Servers {
    /// Of OrderService.
    pub async fn orders(&self) -> Result<OrderServiceClient<Channel>, Failure> {
        Ok(OrderServiceClient::new(self.connect(Role::Ordering).await?))
    }

    /// Of LifecycleService.
    pub async fn lifecycle(&self) -> Result<LifecycleServiceClient<Channel>, Failure> {
        Ok(LifecycleServiceClient::new(self.connect(Role::StateMachine).await?))
    }

    /// Of WatchService.
    pub async fn watches(&self) -> Result<WatchServiceClient<Channel>, Failure> {
        Ok(WatchServiceClient::new(self.connect(Role::Notification).await?))
    }

    /// Of MailService.
    pub async fn mails(&self) -> Result<MailServiceClient<Channel>, Failure> {
        Ok(MailServiceClient::new(self.connect(Role::Notification).await?))
    }

    /// All roles at one address.
    #[cfg(test)]
    pub fn at(address: &str) -> Self {
        tests::servers(&["--addr", address])
    }

    /// Every role's address, each once.
    pub fn addresses(&self) -> Vec<&Address> {
        let mut all = Vec::new();
        for address in Role::ALL.map(|role| self.address(role)) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }

    /// Waits for the answer to a call, no longer than the deadline.
    pub async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
        let timeout = Duration::from_millis(self.timeout_ms);
        match tokio::time::timeout(timeout, call).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Status::deadline_exceeded(format!("no answer within {} ms", self.timeout_ms))),
        }
    }

    /// A request that tells the server our deadline, so that it does not work on when nobody waits.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(Duration::from_millis(self.timeout_ms));
        request
    }

    fn address(&self, role: Role) -> &Address {
        self.addr.as_ref().unwrap_or(match role {
            Role::Ordering => &self.ordering_addr,
            Role::StateMachine => &self.state_machine_addr,
            Role::Notification => &self.notification_addr,
        })
    }

    async fn connect(&self, role: Role) -> Result<Channel, Failure> {
        let address = self.address(role);
        dial(address).await.map_err(|error| unreachable(role, address, &error))
    }
}

/// A connection that lasts: when it breaks, the next call makes it anew.
pub async fn dial(address: &Address) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(address.uri())?
        .user_agent(concat!("comanda/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect()
        .await
}

fn unreachable(role: Role, address: &Address, error: &(dyn Error + 'static)) -> Failure {
    let (name, flag) = (role.name(), format!("--{}-addr", role.name()));
    let message = format!(
        "cannot reach {name} at {address}: {}\n  \
         `comanda dev` starts every role on this machine; --addr or {flag} say where else one is",
        root_cause(error)
    );
    Failure::new(Exit::Unknown, message)
}

impl Role {
    const ALL: [Self; 3] = [Self::Ordering, Self::StateMachine, Self::Notification];

    fn name(self) -> &'static str {
        match self {
            Self::Ordering => "ordering",
            Self::StateMachine => "state-machine",
            Self::Notification => "notification",
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
        servers: Servers,
    }

    pub(super) fn servers(args: &[&str]) -> Servers {
        Cli::parse_from([&["comanda"], args].concat()).servers
    }

    fn addresses(args: &[&str]) -> [String; 3] {
        let servers = servers(args);
        Role::ALL.map(|role| servers.address(role).to_string())
    }

    #[test]
    fn each_role_has_an_address_of_its_own() {
        let [ordering, state_machine, notification] =
            ["http://127.0.0.1:50051", "http://127.0.0.1:50052", "http://127.0.0.1:50053"];
        assert_eq!(addresses(&[]), [ordering, state_machine, notification]);
        assert_eq!(addresses(&["--state-machine-addr", "sm:1"]), [ordering, "http://sm:1", notification]);
    }

    #[test]
    fn one_address_for_all_overrides_the_others() {
        assert_eq!(addresses(&["--addr", "all:1", "--ordering-addr", "o:1"]), ["http://all:1"; 3]);
        assert_eq!(Servers::at("all:1").addresses().len(), 1);
    }

    #[tokio::test]
    async fn an_unreachable_server_is_named_with_the_way_to_start_one() {
        // Bound and closed again: nobody listens there.
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let failure = servers(&["--ordering-addr", &free.to_string()]).orders().await.expect_err("nobody listens");
        assert_eq!(failure.exit, Exit::Unknown);
        for part in [&free.to_string(), "ordering", "comanda dev", "--ordering-addr", "refused"] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }
}
