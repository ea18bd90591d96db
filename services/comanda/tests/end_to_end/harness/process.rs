//! A process of the program: started, waited for, sent signals, and gone when dropped.

use std::{
    fs::{self, File},
    future::ready,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use comanda_kit::testing::eventually;
use comanda_proto::v1::{
    lifecycle_service_client::LifecycleServiceClient, order_service_client::OrderServiceClient,
    watch_service_client::WatchServiceClient,
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// What the program promises from the first SIGTERM to its end, and a little for the machine.
const STOP_BOUND: Duration = Duration::from_secs(12);
/// Any command that is no server.
const RUN_BOUND: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command to its end.
pub async fn run(command: Command) -> Ended {
    let what = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let Output { status, stdout, stderr } = tokio::time::timeout(RUN_BOUND, command.output())
        .await
        .unwrap_or_else(|_| panic!("did not end within {RUN_BOUND:?}: {what}"))
        .expect("the program can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// An address on which nobody listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound")
}

/// A process that lasts: a role, or a client that watches.
#[derive(Debug)]
pub struct Role {
    name: String,
    /// What it writes, to standard output and standard error.
    log: PathBuf,
    /// Where the log of the present process begins.
    begin: usize,
    command: Command,
    address: Option<SocketAddr>,
    child: Child,
}

impl Role {
    /// Starts it. It writes to `log`, behind what is there.
    pub fn start(name: &str, mut command: Command, log: PathBuf) -> Self {
        let child = spawn(&mut command, &log);
        Self { name: name.into(), log, begin: 0, command, address: None, child }
    }

    /// Starts it again, where it was, after it has ended.
    pub fn start_again(&mut self) {
        if let Some(address) = self.address {
            let variable = if self.name == "gateway" { "COMANDA_HTTP_LISTEN" } else { "COMANDA_LISTEN" };
            self.command.env(variable, address.to_string());
        }
        self.begin += self.log().len();
        self.child = spawn(&mut self.command, &self.log);
    }

    /// What it has written since it was last started.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log that can be read").split_off(self.begin)
    }

    /// Waits until it has written something.
    pub async fn says(&self, text: &str) {
        eventually(&format!("{} says {text:?}", self.name), async || self.log().contains(text).then_some(())).await;
    }

    /// Where it listens: it chose the port itself, and said so.
    pub async fn address(&mut self) -> SocketAddr {
        if let Some(address) = self.address {
            return address;
        }
        let address = eventually(&format!("{} listens", self.name), || {
            let end = self.child.try_wait().expect("a child");
            assert_eq!(end, None, "{} has ended: {}", self.name, self.log());
            ready(listens_on(&self.log()))
        })
        .await;
        *self.address.insert(address)
    }

    /// Waits until its health is this.
    pub async fn health(&mut self, wanted: ServingStatus) {
        let health = HealthClient::new(self.channel().await);
        eventually(&format!("{} is {}", self.name, wanted.as_str_name()), || {
            let mut asked = health.clone();
            async move {
                let answer = asked.check(HealthCheckRequest::default()).await.ok()?;
                (answer.into_inner().status() == wanted).then_some(())
            }
        })
        .await;
    }

    /// The first answer about its health that it gives to anybody.
    pub async fn first_health(&mut self) -> ServingStatus {
        let health = HealthClient::new(self.channel().await);
        let answer = eventually("an answer about health", || {
            let mut asked = health.clone();
            async move { asked.check(HealthCheckRequest::default()).await.ok() }
        });
        answer.await.into_inner().status()
    }

    /// Waits until it serves.
    pub async fn serves(&mut self) {
        self.health(ServingStatus::Serving).await;
    }

    /// A connection that is made again whenever it breaks.
    pub async fn channel(&mut self) -> Channel {
        lazy(self.address().await)
    }

    /// A client of OrderService.
    pub async fn orders(&mut self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel().await)
    }

    /// A client of LifecycleService.
    pub async fn lifecycle(&mut self) -> LifecycleServiceClient<Channel> {
        LifecycleServiceClient::new(self.channel().await)
    }

    /// A client of WatchService.
    pub async fn watches(&mut self) -> WatchServiceClient<Channel> {
        WatchServiceClient::new(self.channel().await)
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, signal: &str) {
        let sent =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal]).arg(self.pid().to_string()).status();
        assert!(sent.expect("a shell").success(), "{} took no SIG{signal}", self.name);
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child that can be killed");
        self.child.wait().expect("a child");
    }

    /// Waits until it has ended, no longer than it may take after a SIGTERM.
    pub async fn ends(&mut self) -> ExitStatus {
        let begin = Instant::now();
        let Self { child, name, .. } = self;
        let end = eventually(&format!("{name} ends"), || ready(child.try_wait().expect("a child"))).await;
        assert!(begin.elapsed() < STOP_BOUND, "{name} took {:?} to end", begin.elapsed());
        end
    }

    /// Tells it to stop and waits until it has, with exit code 0, in time.
    pub async fn stops(&mut self) {
        self.signal("TERM");
        self.ends_well().await;
    }

    /// Waits until it has ended as it was told to.
    pub async fn ends_well(&mut self) {
        let end = self.ends().await;
        assert_eq!(end.code(), Some(0), "{} stopped with {end}", self.name);
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Fails where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("DEBUG") && !line.contains("TRACE")).collect();
            eprintln!("--- {} ---\n{}", self.name, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

fn spawn(command: &mut Command, log: &PathBuf) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("a log that can be written");
    let also = log.try_clone().expect("a second handle of the log");
    command.stdin(Stdio::null()).stdout(log).stderr(also).spawn().expect("the program can be started")
}

/// A connection to several replicas, whichever are there.
pub async fn balanced(replicas: &mut [Role]) -> Channel {
    let mut endpoints = Vec::new();
    for replica in replicas {
        endpoints.push(endpoint(replica.address().await));
    }
    Channel::balance_list(endpoints.into_iter())
}

fn listens_on(log: &str) -> Option<SocketAddr> {
    let after = |text| log.split_once(text).map(|(_, rest)| rest);
    // The gateway has HTTP alone.
    after("gRPC on ").or_else(|| after("HTTP on "))?.split_once(',')?.0.parse().ok()
}

fn lazy(address: SocketAddr) -> Channel {
    endpoint(address).connect_lazy()
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_timeout(Duration::from_secs(5))
}
