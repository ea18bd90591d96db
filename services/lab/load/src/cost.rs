//! What a run costs: processor time, memory and context switches of each process, bytes and statements of the stores.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use comanda_proto::topics;
use procfs::process::{Process, all_processes};
use sqlx::{PgPool, Row};

use crate::{
    report::{Better, Cost, Run},
    stage::Stage,
};

/// What everything had used at one moment.
#[derive(Clone, Debug)]
pub struct Meter {
    processes: BTreeMap<String, Usage>,
    wal_bytes: f64,
    statements: f64,
    kafka_bytes: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_seconds: f64,
    rss_bytes: u64,
    context_switches: u64,
}

impl Meter {
    /// Reads everything.
    pub async fn read(stage: &Stage) -> Result<Self> {
        let (wal_bytes, statements) = database(&stage.sql).await?;
        let mut processes = BTreeMap::new();
        for (name, pids) in programs(stage)? {
            let usage = pids.into_iter().filter_map(usage).fold(Usage::default(), Usage::plus);
            processes.insert(name, usage);
        }
        Ok(Self { processes, wal_bytes, statements, kafka_bytes: kafka_bytes(stage).unwrap_or(0) as f64 })
    }

    /// Notes in `run` what was used since then, also per order.
    pub async fn note(&self, stage: &Stage, orders: u64, run: &mut Run) -> Result<()> {
        let (now, orders) = (self.spent(stage, run).await?, orders as f64);
        let (generator, servers): (Vec<&Cost>, Vec<_>) = run.costs.iter().partition(|cost| cost.process == GENERATOR);
        let seconds = |costs: Vec<&Cost>| costs.iter().map(|cost| cost.cpu_seconds).sum::<f64>();
        let (generator, servers) = (seconds(generator), seconds(servers));
        run.figure("CPU of all servers per 1000 orders", "s", servers * 1000.0 / orders, Better::Lower);
        run.figure("CPU of the generator per 1000 orders", "s", generator * 1000.0 / orders, Better::Neither);
        for cost in run.costs.clone().iter().filter(|cost| cost.process != GENERATOR) {
            let name = format!("CPU of {} per 1000 orders", cost.process);
            run.figure(&name, "s", cost.cpu_seconds * 1000.0 / orders, Better::Lower);
        }
        run.figure("WAL per order", "B", (now.wal_bytes - self.wal_bytes) / orders, Better::Lower);
        run.figure("statements per order", "", (now.statements - self.statements) / orders, Better::Lower);
        run.figure("Kafka log per order", "B", (now.kafka_bytes - self.kafka_bytes) / orders, Better::Lower);
        Ok(())
    }

    /// Notes in `run` what each process used since then, and returns what everything has used by now.
    pub async fn spent(&self, stage: &Stage, run: &mut Run) -> Result<Self> {
        let now = Self::read(stage).await?;
        run.costs = now.processes.iter().map(|(name, usage)| self.cost(name, usage)).collect();
        Ok(now)
    }

    fn cost(&self, name: &str, now: &Usage) -> Cost {
        let before = self.processes.get(name).copied().unwrap_or_default();
        Cost {
            process: name.into(),
            // A backend that ended in between takes its share away; never below nothing.
            cpu_seconds: (now.cpu_seconds - before.cpu_seconds).max(0.0),
            rss_bytes: now.rss_bytes,
            context_switches: now.context_switches.saturating_sub(before.context_switches),
        }
    }
}

/// The process that sends and watches: this one.
pub const GENERATOR: &str = "generator";

impl Usage {
    fn plus(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            rss_bytes: self.rss_bytes + other.rss_bytes,
            context_switches: self.context_switches + other.context_switches,
        }
    }
}

/// Resident bytes of the roles of a name.
pub fn rss_bytes(stage: &Stage, name: &str) -> Result<u64> {
    Ok(used(stage, name)?.rss_bytes)
}

/// Seconds of processor time that the roles of a name have used.
pub fn cpu_seconds(stage: &Stage, name: &str) -> Result<f64> {
    Ok(used(stage, name)?.cpu_seconds)
}

fn used(stage: &Stage, name: &str) -> Result<Usage> {
    let roles: Vec<_> = stage.roles.iter().filter(|role| role.name == name).collect();
    let usages: Vec<_> = roles.iter().filter_map(|role| usage(role.pid)).collect();
    ensure!(!roles.is_empty() && usages.len() == roles.len(), "{name} does not run");
    Ok(usages.into_iter().fold(Usage::default(), Usage::plus))
}

/// The processes of each program.
fn programs(stage: &Stage) -> Result<BTreeMap<String, Vec<i32>>> {
    let mut programs = BTreeMap::<String, Vec<i32>>::new();
    programs.insert(GENERATOR.into(), vec![Process::myself()?.pid]);
    for role in &stage.roles {
        programs.entry(role.name.into()).or_default().push(role.pid);
    }
    if let Some(postmaster) = listener(port(&stage.postgres.database_url)) {
        let mut pids = children(postmaster);
        pids.push(postmaster);
        programs.insert("postgres".into(), pids);
    }
    if let Some(broker) = listener(port(&stage.kafka.kafka_bootstrap_servers)) {
        programs.insert("kafka".into(), vec![broker]);
    }
    Ok(programs)
}

fn port(address: &str) -> u16 {
    let (_, rest) = address.rsplit_once(':').unwrap_or_default();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or_default()
}

/// The process that listens on a port of this machine, if we may look at it.
pub fn listener(port: u16) -> Option<i32> {
    use procfs::{net::TcpState, process::FDTarget};
    let sockets = procfs::net::tcp().ok()?.into_iter().chain(procfs::net::tcp6().unwrap_or_default());
    let inode = sockets
        .filter(|socket| socket.state == TcpState::Listen)
        .find(|socket| socket.local_address.port() == port)?
        .inode;
    let holds = |process: &Process| {
        let mut files = process.fd().into_iter().flatten().flatten();
        files.any(|file| matches!(file.target, FDTarget::Socket(held) if held == inode))
    };
    // A child inherits the socket; the one that opened it is the oldest.
    all_processes().ok()?.flatten().filter(holds).map(|process| process.pid).min()
}

/// The processes that a process has started and that still run.
pub fn children(parent: i32) -> Vec<i32> {
    let all = all_processes().into_iter().flatten().flatten().filter_map(|process| process.stat().ok());
    all.filter(|stat| stat.ppid == parent).map(|stat| stat.pid).collect()
}

/// Of a process that still lives, with the children it has outlived.
fn usage(pid: i32) -> Option<Usage> {
    let process = Process::new(pid).ok()?;
    let stat = process.stat().ok()?;
    let ticks = (stat.utime + stat.stime) as i64 + stat.cutime + stat.cstime;
    let switches = process.tasks().ok()?.flatten().filter_map(|task| task.status().ok());
    Some(Usage {
        cpu_seconds: ticks as f64 / procfs::ticks_per_second() as f64,
        rss_bytes: stat.rss * procfs::page_size(),
        context_switches: switches
            .map(|s| s.voluntary_ctxt_switches.unwrap_or(0) + s.nonvoluntary_ctxt_switches.unwrap_or(0))
            .sum(),
    })
}

/// Bytes of WAL of the whole server, and statements run in this database (all of them, where pg_stat_statements is not there: transactions).
async fn database(sql: &PgPool) -> Result<(f64, f64)> {
    let statements = "SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements s
                      JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()";
    let wal_bytes = sqlx::query("SELECT wal_bytes::float8 FROM pg_stat_wal").fetch_one(sql).await?.try_get(0)?;
    let statements = match sqlx::query(statements).fetch_one(sql).await {
        Ok(row) => row.try_get(0)?,
        Err(_) => {
            let transactions = "SELECT xact_commit::float8 FROM pg_stat_database WHERE datname = current_database()";
            sqlx::query(transactions).fetch_one(sql).await?.try_get(0)?
        }
    };
    Ok((wal_bytes, statements))
}

/// Bytes of this run's topics on the broker's disk, if it is this machine's.
fn kafka_bytes(stage: &Stage) -> Result<u64> {
    let broker = listener(port(&stage.kafka.kafka_bootstrap_servers)).context("the broker is elsewhere")?;
    let arguments = Process::new(broker)?.cmdline()?;
    let is_settings = |argument: &&String| argument.ends_with(".properties") && !argument.starts_with("-");
    let settings = arguments.iter().find(is_settings).context("no settings")?;
    let folder = log_dir(Path::new(settings)).context("no log.dirs")?;
    let ours = [topics::ORDERS, topics::ORDER_TRANSITIONS].map(|topic| format!("{}-", stage.kafka.topic(topic)));
    let mut bytes = 0;
    for partition in fs::read_dir(folder)?.flatten() {
        let name = partition.file_name().to_string_lossy().into_owned();
        if ours.iter().any(|topic| name.starts_with(topic.as_str())) {
            bytes += log_bytes(&partition.path());
        }
    }
    Ok(bytes)
}

fn log_dir(settings: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(settings).ok()?;
    text.lines().find_map(|line| line.strip_prefix("log.dirs=")).map(PathBuf::from)
}

/// Of the log alone: its indexes are preallocated.
fn log_bytes(partition: &Path) -> u64 {
    let files = fs::read_dir(partition).into_iter().flatten().flatten();
    let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    logs.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
