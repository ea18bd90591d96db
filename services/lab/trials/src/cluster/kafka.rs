//! Kafka brokers of the run's own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use comanda_kit::settings;
use futures::future::try_join_all;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    process::{Launch, Process},
    wait::within,
};
use crate::recorder::Recorder;

const PATIENCE: Duration = Duration::from_secs(90);
const QUESTION: Duration = Duration::from_secs(3);

/// The ports of one broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// From 1.
    pub id: usize,
    /// Where brokers reach it, and what must not be disturbed by faults.
    pub inner: SocketAddr,
    /// Where the quorum reaches it.
    pub controller: SocketAddr,
    /// For each client: where the broker listens for it, and where it tells the client to connect (a link).
    pub clients: Vec<(SocketAddr, SocketAddr)>,
}

/// Makes brokers and starts them.
pub async fn start(
    folder: &Path,
    brokers: &[Broker],
    recorder: &Recorder,
    tasks: &TaskTracker,
) -> Result<Vec<Process>> {
    let jars = jars()?;
    let cluster = cluster_id();
    let launches = brokers.iter().map(|broker| prepare(folder, broker, brokers, &jars)).collect::<Result<Vec<_>>>()?;
    try_join_all(launches.iter().map(|launch| format(launch, &cluster))).await?;
    let mut processes = Vec::new();
    for (launch, broker) in launches.into_iter().zip(brokers) {
        let process = Process::new(launch, broker.inner, recorder.clone(), tasks.clone());
        process.start().await?;
        processes.push(process);
    }
    let servers = servers(brokers);
    within(PATIENCE, "all brokers answer", async || (members(&servers).await? == brokers.len()).then_some(()))
        .await
        .with_context(|| processes[0].launch().end_of_log())?;
    Ok(processes)
}

/// Where brokers are reached past the proxy.
pub fn servers(brokers: &[Broker]) -> String {
    brokers.iter().map(|broker| broker.inner.to_string()).collect::<Vec<_>>().join(",")
}

/// How many brokers the cluster says it has; `None` if none answers.
pub async fn members(servers: &str) -> Option<usize> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("log_level", "0");
    let ask = move || {
        let consumer: BaseConsumer = config.create().ok()?;
        Some(consumer.fetch_metadata(None, QUESTION).ok()?.brokers().len())
    };
    spawn_blocking(ask).await.ok()?
}

fn prepare(folder: &Path, broker: &Broker, all: &[Broker], jars: &Path) -> Result<Launch> {
    let name = format!("kafka-{}", broker.id);
    let folder = folder.join(&name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("server.properties"), properties(broker, all))?;
    fs::write(folder.join("log4j2.properties"), LOGGING)?;
    let flags = [
        "-Xms64m",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-Djava.awt.headless=true",
        "-Dlog4j2.configurationFile=log4j2.properties",
    ];
    let class_path = format!("{}/*", jars.display());
    let arguments = flags.into_iter().chain(["-cp", &class_path, "kafka.Kafka", "server.properties"]);
    let arguments = arguments.map(str::to_owned).collect();
    let log = folder.with_extension("log");
    Ok(Launch { name, program: "java".into(), arguments, environment: Vec::new(), folder, log, account: None })
}

async fn format(launch: &Launch, cluster: &str) -> Result<()> {
    let mut format = launch.clone();
    let flags = &launch.arguments[..launch.arguments.len() - 2];
    let tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties"].map(str::to_owned);
    format.arguments = flags.iter().cloned().chain(["-XX:TieredStopAtLevel=1".into()]).collect();
    format.arguments.extend(tool);
    format.run(PATIENCE).await
}

/// A random UUID as Kafka writes it: 22 characters of URL-safe base 64. Letters and digits alone will do.
fn cluster_id() -> String {
    Uuid::new_v4().simple().to_string()[..21].to_owned() + "A"
}

const LOGGING: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.target=SYSTEM_ERR
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
";

/// What is the same for all. Times are short, so that a dead broker is noticed within a fault.
const SETTINGS: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=INNER
log.dirs=data
auto.create.topics.enable=false
unclean.leader.election.enable=false
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
replica.lag.time.max.ms=6000
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
num.network.threads=1
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
";

fn properties(broker: &Broker, all: &[Broker]) -> String {
    let clients = broker.clients.iter().enumerate();
    let listeners = clients.clone().map(|(n, (listens, _))| format!(",CLIENT{n}://{listens}")).collect::<String>();
    let advertised = clients.clone().map(|(n, (_, told))| format!(",CLIENT{n}://{told}")).collect::<String>();
    let protocols = clients.map(|(n, _)| format!(",CLIENT{n}:PLAINTEXT")).collect::<String>();
    let voters = all.iter().map(|voter| format!("{}@{}", voter.id, voter.controller)).collect::<Vec<_>>().join(",");
    let (copies, in_sync) = if all.len() >= 3 { (3, 2) } else { (1, 1) };
    let Broker { id, inner, controller, .. } = broker;
    format!(
        "{SETTINGS}node.id={id}
listeners=INNER://{inner},CONTROLLER://{controller}{listeners}
advertised.listeners=INNER://{inner},CONTROLLER://{controller}{advertised}
listener.security.protocol.map=INNER:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
controller.quorum.voters={voters}
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
"
    )
}

/// Where Kafka's programs are: `scripts/kafka fetch` puts them there.
fn jars() -> Result<PathBuf> {
    let folder = |name: &str| settings::variable(name).map(PathBuf::from);
    let cache = folder("COMANDA_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("comanda")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/comanda")))
        .context("HOME is not set; set COMANDA_CACHE to the folder that holds Kafka")?;
    let entries = fs::read_dir(&cache).into_iter().flatten().flatten().map(|entry| entry.path());
    let named =
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kafka-")));
    named.max().with_context(|| format!("no Kafka in {}; run scripts/kafka fetch", cache.display()))
}
