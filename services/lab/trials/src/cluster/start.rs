//! Puts a cluster together, and takes it apart.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use futures::future::{join_all, try_join_all};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::task::TaskTracker;

use super::{
    endpoints::{Endpoints, Replica, Role, Tenant},
    folder::Folder,
    kafka::{self, Broker},
    launch::{TOPIC_PREFIX, launch},
    ports, postgres,
    process::{Launch, Process, Signal},
    serving::is_serving,
    shape::Shape,
    wait::within,
    watch::watch,
    wires::{Class, Servers, Wire, wire},
};
use crate::recorder::Recorder;

const SERVE: Duration = Duration::from_secs(60);
const MIGRATE: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);

/// A cluster that runs. Everything of it ends at the latest with its folder.
#[derive(Debug)]
pub struct Cluster {
    /// Where everything is reached.
    pub endpoints: Endpoints,
    /// The links between its parts.
    pub wires: Vec<Wire>,
    /// The processes of the system, as the endpoints' replicas.
    pub roles: Vec<Process>,
    /// The brokers.
    pub brokers: Vec<Process>,
    /// The database.
    pub postgres: Process,
    /// How it was asked for.
    pub shape: Shape,
    folder_path: std::path::PathBuf,
    tasks: TaskTracker,
    watching: JoinHandle<()>,
}

impl Cluster {
    /// Starts everything and waits until each role serves. Mails go to `smtp`.
    pub async fn start(shape: Shape, smtp: SocketAddr, folder: &Folder, recorder: &Recorder) -> Result<Self> {
        let (path, tasks) = (folder.path(), TaskTracker::new());
        let mut replicas = replicas(&shape)?;
        let postgres_address = ports::free()?;
        let servers = Servers { postgres: postgres_address, brokers: Vec::new(), smtp };
        let (brokers, wires) = wire_all(&shape, &mut replicas, &servers).await?;
        let data = path.join("postgres");
        let (postgres, brokers_started) = tokio::try_join!(
            postgres::start(&data, postgres_address, recorder, &tasks),
            kafka::start(path, &brokers, recorder, &tasks)
        )?;
        let mut endpoints = Endpoints {
            replicas,
            tenants: Vec::new(),
            database_url: postgres::url(postgres_address),
            kafka_bootstrap_servers: kafka::servers(&brokers),
            topic_prefix: TOPIC_PREFIX.into(),
        };
        let roles: Vec<Process> = endpoints
            .replicas
            .iter()
            .map(|replica| {
                Ok(Process::new(
                    launch(&shape, path, replica, &endpoints.replicas, &wires)?,
                    replica.direct,
                    recorder.clone(),
                    tasks.clone(),
                ))
            })
            .collect::<Result<_>>()?;
        let watching = tokio::spawn(watch(roles.clone(), recorder.clone()));
        let folder_path = path.to_owned();
        endpoints.tenants = Tenant::some(shape.tenants);
        let mut cluster =
            Self { endpoints, wires, roles, brokers: brokers_started, postgres, shape, folder_path, tasks, watching };
        cluster.migrate(&[]).await?;
        if cluster.shape.tenants > 1 {
            cluster.endpoints.tenants = cluster.make_keys().await?;
        }
        try_join_all(cluster.roles.iter().map(Process::start)).await?;
        cluster.serves().await?;
        Ok(cluster)
    }

    /// Makes the schema and the topics that are not there; with `["--only", "topics"]` only these.
    pub async fn migrate(&self, arguments: &[&str]) -> Result<()> {
        self.migrate_with(&self.shape.binary, arguments).await
    }

    /// The same by another program.
    pub async fn migrate_with(&self, program: &Path, arguments: &[&str]) -> Result<()> {
        let factor = if self.shape.brokers >= 3 { 3 } else { 1 };
        let settings = [
            ("COMANDA_PARTITIONS", self.shape.partitions.to_string()),
            ("COMANDA_REPLICATION_FACTOR", factor.to_string()),
        ];
        self.run_with(program, "migrate", arguments, &settings).await
    }

    /// Runs a command of the program to its end, past the proxy.
    pub async fn run(&self, command: &str, arguments: &[&str], settings: &[(&str, String)]) -> Result<()> {
        self.run_with(&self.shape.binary, command, arguments, settings).await
    }

    async fn run_with(
        &self,
        program: &Path,
        command: &str,
        arguments: &[&str],
        settings: &[(&str, String)],
    ) -> Result<()> {
        self.launch_of(program, command, arguments, settings).run(MIGRATE).await
    }

    /// Runs a command of the program to its end, past the proxy, and returns what it prints.
    pub async fn read(&self, command: &str, arguments: &[&str]) -> Result<String> {
        self.launch_of(&self.shape.binary, command, arguments, &[]).read(MIGRATE).await
    }

    fn launch_of(&self, program: &Path, command: &str, arguments: &[&str], settings: &[(&str, String)]) -> Launch {
        let direct = [
            ("DATABASE_URL", self.endpoints.database_url.clone()),
            ("KAFKA_BOOTSTRAP_SERVERS", self.endpoints.kafka_bootstrap_servers.clone()),
            ("COMANDA_TOPIC_PREFIX", self.endpoints.topic_prefix.clone()),
        ];
        let given = direct.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), value.clone()));
        // Of the roles too: a bug that is planted in a command is active there.
        let environment = self.shape.settings.iter().cloned().chain(given).collect();
        let arguments = [command].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        let (folder, log) = (self.folder_path.clone(), self.folder_path.join(format!("{command}.log")));
        let program = program.to_owned();
        Launch { name: command.into(), program, arguments, environment, folder, log, account: None }
    }

    /// Waits until every replica says that it serves.
    pub async fn serves(&self) -> Result<()> {
        let serving = self.endpoints.replicas.iter().zip(&self.roles).map(|(replica, role)| async move {
            within(SERVE, &format!("{} serves", role.name()), async || is_serving(replica).await.then_some(()))
                .await
                .with_context(|| role.launch().end_of_log())
        });
        try_join_all(serving).await.map(|_| ())
    }

    /// A process by its name.
    pub fn process(&self, name: &str) -> Result<&Process> {
        let mut all = self.roles.iter().chain(&self.brokers).chain([&self.postgres]);
        all.find(|process| process.name() == name).with_context(|| format!("there is no process {name}"))
    }

    /// Links of one class.
    pub fn wires_of(&self, class: Class) -> impl Iterator<Item = &Wire> {
        self.wires.iter().filter(move |wire| wire.class == class)
    }

    /// Stops the roles as an operator would; database and brokers go on, for the dump.
    pub async fn stop_roles(&self) -> Result<()> {
        join_all(self.roles.iter().map(|role| role.end(Signal::Term))).await.into_iter().collect()
    }

    /// Stops everything.
    pub async fn stop(self) -> Result<()> {
        self.stop_roles().await?;
        // Their data is not needed again.
        try_join_all(self.brokers.iter().map(|broker| broker.end(Signal::Kill))).await?;
        self.postgres.end(Signal::Int).await?;
        self.watching.abort();
        self.tasks.close();
        timeout(STOP, self.tasks.wait()).await.context("a process does not end")
    }
}

fn replicas(shape: &Shape) -> Result<Vec<Replica>> {
    let servers = shape.roles.iter().map(|role| (*role, shape.replicas));
    let names =
        servers.chain([(Role::Gateway, shape.gateways)]).flat_map(|(role, count)| (0..count).map(move |n| (role, n)));
    let replica = |(role, n): (Role, usize)| {
        let (direct, admin) = (ports::free()?, ports::free()?);
        Ok(Replica { name: format!("{}-{n}", role.name()), role, address: direct, direct, admin })
    };
    names.map(replica).collect()
}

/// The links of all replicas, and the ports of the brokers: each has a port for each replica, since a client connects to where
/// the broker tells it to, and that is told by port.
async fn wire_all(shape: &Shape, replicas: &mut [Replica], servers: &Servers) -> Result<(Vec<Broker>, Vec<Wire>)> {
    let mut brokers = Vec::new();
    for id in 1..=shape.brokers {
        brokers.push(Broker { id, inner: ports::free()?, controller: ports::free()?, clients: Vec::new() });
    }
    let mut wires = Vec::new();
    for (n, replica) in replicas.iter_mut().enumerate() {
        let listens = brokers.iter().map(|_| ports::free()).collect::<Result<Vec<_>>>()?;
        let servers = Servers { brokers: listens.clone(), ..servers.clone() };
        let own = wire(replica, &servers, shape.seed.wrapping_add((n as u64) << 48)).await?;
        let links = own.iter().filter(|wire| wire.class == Class::Kafka);
        for ((broker, wire), listen) in brokers.iter_mut().zip(links).zip(listens) {
            broker.clients.push((listen, wire.link.address));
        }
        wires.extend(own);
    }
    Ok((brokers, wires))
}
