//! The system under load: its roles as processes of their own, on a database and topics that nothing else uses.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use comanda_kit::{access::DEFAULT_TENANT, kafka, postgres};
use comanda_proto::topics;
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use uuid::Uuid;

use crate::{clients::Connections, http, security::Security};

/// How long a role may take to serve.
const START: Duration = Duration::from_secs(60);
/// How long it may take to stop: its own bound is 10 s.
const STOP: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// The role that speaks HTTP for the others.
const GATEWAY: &str = "gateway";
/// What it is told of the roles that the workloads need.
const BEHIND_GATEWAY: [(&str, &str); 3] = [
    ("COMANDA_ORDERING_ADDR", "ordering"),
    ("COMANDA_STATE_MACHINE_ADDR", "state-machine"),
    ("COMANDA_NOTIFICATION_ADDR", "notification"),
];

/// Where the system's parts run.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct StageArgs {
    /// The Postgres to measure on. Each run makes a database of its own there and drops it again.
    #[command(flatten)]
    pub postgres: postgres::Config,
    /// The Kafka to measure on. Each run makes topics of its own there and deletes them again.
    #[command(flatten)]
    pub kafka: kafka::Config,
    /// Partitions of each topic.
    #[arg(long, default_value_t = topics::DEFAULT_PARTITIONS)]
    pub partitions: i32,
    /// Keep the database, the topics and the logs of each run.
    #[arg(long)]
    pub keep: bool,
    /// Give every role TLS and access control, and show an API key with each call. A folder with ca.crt, server.crt and server.key for
    /// 127.0.0.1, as `scripts/certs server` makes.
    #[arg(long, env = "COMANDA_LOAD_SECURED", value_name = "DIR")]
    pub secured: Option<PathBuf>,
}

/// How the roles are started.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// How many state machines.
    pub state_machines: usize,
    /// Replaces the delay of every timer; none keeps the workflow's own, which are minutes.
    pub step_ms: Option<u64>,
    /// The mail server; none keeps no mail ledger at all.
    pub smtp_url: Option<String>,
    /// Connections to it.
    pub smtp_connections: Option<u16>,
    /// Dispatch and analytics run, too.
    pub all_roles: bool,
    /// A gateway runs before the others.
    pub gateway: bool,
}

/// A process of the system.
#[derive(Debug)]
pub struct Role {
    /// Such as `ordering`.
    pub name: &'static str,
    /// Where it serves.
    pub address: SocketAddr,
    /// Its process.
    pub pid: i32,
    child: Child,
}

/// The system, running.
#[derive(Debug)]
pub struct Stage {
    /// The database, as nobody's own.
    pub sql: PgPool,
    /// Settings of Kafka, with this run's prefix.
    pub kafka: kafka::Config,
    /// Settings of the database.
    pub postgres: postgres::Config,
    /// The processes.
    pub roles: Vec<Role>,
    /// Logs of the processes.
    pub folder: PathBuf,
    /// Where the role that was started with metrics serves them.
    pub admin: Option<SocketAddr>,
    security: Security,
    server_url: String,
    keep: bool,
}

impl Stage {
    /// Makes a database and topics. No role runs yet.
    pub async fn set(args: &StageArgs, partitions: i32) -> Result<Self> {
        let security = Security::of(args.secured.as_ref())?;
        let name = format!("load_{}", Uuid::now_v7().simple());
        let server_url = args.postgres.database_url.clone();
        let mut server = server(&server_url).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut server).await?;
        let (base, _) = server_url.rsplit_once('/').context("DATABASE_URL has no name of a database")?;
        let postgres = postgres::Config { database_url: format!("{base}/{name}"), ..args.postgres.clone() };
        let kafka = kafka::Config { topic_prefix: format!("{name}."), ..args.kafka.clone() };
        let sql = PgPoolOptions::new().max_connections(4).connect(&postgres.database_url).await?;
        let folder = std::env::temp_dir().join(format!("comanda-{name}"));
        fs::create_dir_all(&folder)?;
        let keep = args.keep;
        let roles = Vec::new();
        let mut stage = Self { sql, kafka, postgres, roles, folder, admin: None, security, server_url, keep };
        stage.run_once(&["migrate"], &[("COMANDA_PARTITIONS", partitions.to_string())]).await?;
        if stage.security.is_on() {
            // The tenant whose orders everything here counts.
            let key = stage.run_once(&["access", "init", "--tenant", DEFAULT_TENANT], &[]).await?;
            stage.security.show(&key)?;
        }
        // Only for the count of statements, and not everywhere installed.
        sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&stage.sql).await.ok();
        Ok(stage)
    }

    /// Starts the roles and waits until each serves.
    pub async fn start(&mut self, cast: &Cast) -> Result<()> {
        self.start_role("ordering", &[]).await?;
        let step = cast.step_ms.map(|step_ms| ("COMANDA_STEP_MS", step_ms.to_string()));
        for _ in 0..cast.state_machines.max(1) {
            self.start_role("state-machine", step.as_slice()).await?;
        }
        let mut mails = match &cast.smtp_url {
            Some(url) => vec![("SMTP_URL", url.clone())],
            None => vec![("COMANDA_NO_MAILS", "true".into())],
        };
        mails.extend(cast.smtp_connections.map(|count| ("COMANDA_SMTP_CONNECTIONS", count.to_string())));
        self.start_role("notification", &mails).await?;
        for name in ["dispatch", "analytics"].into_iter().filter(|_| cast.all_roles) {
            self.start_role(name, &[]).await?;
        }
        if cast.gateway {
            self.start_gateway().await?;
        }
        Ok(())
    }

    async fn start_gateway(&mut self) -> Result<()> {
        ensure!(!self.security.is_on(), "--secured is for gRPC alone");
        let mut settings = vec![("COMANDA_HTTP_LISTEN", "127.0.0.1:0".to_owned())];
        for (setting, role) in BEHIND_GATEWAY {
            settings.push((setting, self.address(role)?.to_string()));
        }
        self.start_role(GATEWAY, &settings).await
    }

    /// Starts one role and waits until it serves.
    pub async fn start_role(&mut self, name: &'static str, settings: &[(&str, String)]) -> Result<()> {
        let log = self.folder.join(format!("{name}-{}.log", self.roles.len()));
        let settings = [settings, &self.security.settings()].concat();
        let child = self.command(&[name], &settings)?.stderr(fs::File::create(&log)?).spawn()?;
        let pid = i32::try_from(child.id().context("it has ended")?)?;
        let address = within(START, async || address(&log))
            .await
            .with_context(|| format!("{name} does not serve:\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
        let serves = async || if name == GATEWAY { http::serves(address).await } else { self.serves(address).await };
        within(START, serves).await.with_context(|| format!("{name} is not SERVING"))?;
        self.roles.push(Role { name, address, pid, child });
        Ok(())
    }

    /// Stops the roles of a name, and returns how long it took until they were gone.
    pub async fn stop_role(&mut self, name: &str) -> Result<Duration> {
        let started = Instant::now();
        let (stopping, others) = std::mem::take(&mut self.roles).into_iter().partition(|role| role.name == name);
        self.roles = others;
        stop(stopping).await?;
        Ok(started.elapsed())
    }

    /// Where a role serves.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let role = self.roles.iter().find(|role| role.name == name);
        Ok(role.with_context(|| format!("{name} does not run"))?.address)
    }

    /// Opens `count` connections to a role.
    pub async fn connect(&self, name: &str, count: usize) -> Result<Connections> {
        Connections::secured(self.address(name)?, count, &self.security).await
    }

    /// How clients reach the roles.
    pub fn security(&self) -> &Security {
        &self.security
    }

    async fn serves(&self, address: SocketAddr) -> Option<()> {
        let channel = self.security.client(address).ok()?.channel(comanda_client::Role::Ordering).await.ok()?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await.ok()?.into_inner();
        (answer.status() == ServingStatus::Serving).then_some(())
    }

    /// Runs a command of the program to its end, and returns what it printed.
    pub async fn run_once(&self, arguments: &[&str], settings: &[(&str, String)]) -> Result<String> {
        let output = self.command(arguments, settings)?.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
        if !output.status.success() {
            bail!("comanda {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, arguments: &[&str], settings: &[(&str, String)]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(arguments)
            .env("DATABASE_URL", &self.postgres.database_url)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.kafka.kafka_bootstrap_servers)
            .env("COMANDA_TOPIC_PREFIX", &self.kafka.topic_prefix)
            .env("COMANDA_LISTEN", "127.0.0.1:0")
            // Where they listen is read from their logs.
            .env("RUST_LOG", "info")
            .env("COMANDA_LOG_FORMAT", "text")
            .env_remove("COMANDA_ADDR")
            .env_remove("COMANDA_ADMIN_LISTEN")
            .env_remove("COMANDA_MAIL_DIR")
            .env_remove("SMTP_URL")
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Stops everything and removes what was made.
    pub async fn clear(self) -> Result<()> {
        stop(self.roles).await?;
        self.sql.close().await;
        if self.keep {
            println!("kept: {} and {}", self.postgres.database_url, self.folder.display());
            return Ok(());
        }
        let admin: AdminClient<DefaultClientContext> = self.kafka.producer().create()?;
        let topics = topics::ALL.map(|topic| self.kafka.topic(topic));
        admin.delete_topics(&topics.each_ref().map(String::as_str), &AdminOptions::new()).await?;
        let name = self.postgres.database_url.rsplit('/').next().unwrap_or_default();
        let mut server = PgConnection::connect(&self.server_url).await?;
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut server).await?;
        fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

/// A connection to the Postgres to measure on.
pub async fn server(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url)
        .await
        .context("no Postgres answers; start one with `scripts/postgres start`, or set DATABASE_URL")
}

async fn stop(roles: Vec<Role>) -> Result<()> {
    for role in &roles {
        // Fails only if it has ended.
        _ = Command::new("kill").args(["-TERM", &role.pid.to_string()]).status().await;
    }
    for mut role in roles {
        let ended = tokio::time::timeout(STOP, role.child.wait()).await;
        ended.with_context(|| format!("{} did not stop within {STOP:?}", role.name))??;
    }
    Ok(())
}

/// The address that a role says it serves on, once it does.
fn address(log: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let (_, rest) = text.split_once("gRPC on ").or_else(|| text.split_once("HTTP on "))?;
    rest.split_once(',')?.0.parse().ok()
}

/// Asks until there is an answer.
pub async fn within<T>(patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if started.elapsed() > patience {
            bail!("not within {patience:?}");
        }
        sleep(POLL).await;
    }
}
