//! A Postgres of the run's own.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use comanda_kit::settings;
use sqlx::{Connection, PgConnection};
use tokio_util::task::TaskTracker;

use super::{
    process::{Launch, Process},
    wait::within,
};
use crate::recorder::Recorder;

/// How long anything of it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Accounts to run it as where we are root, as whom it refuses to run.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The URL of the run's database on a server.
pub fn url(address: SocketAddr) -> String {
    format!("postgres://comanda@{address}/comanda")
}

/// Makes a server and starts it; the database is empty.
pub async fn start(folder: &Path, address: SocketAddr, recorder: &Recorder, tasks: &TaskTracker) -> Result<Process> {
    let (programs, account, data) = (programs()?, account()?, folder.join("data"));
    fs::create_dir_all(&data)?;
    if let Some((uid, gid)) = account {
        chown(folder, Some(uid), Some(gid))?;
        chown(&data, Some(uid), Some(gid))?;
    }
    let (environment, log) = (Vec::new(), folder.with_extension("log"));
    let arguments = ["-D", ".", "-U", "comanda", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"];
    let arguments = arguments.map(str::to_owned).into();
    let make = Launch {
        name: "initdb".into(),
        program: programs.join("initdb"),
        arguments,
        environment,
        folder: data,
        log,
        account,
    };
    make.run(PATIENCE).await?;
    let arguments = settings(address).into_iter().fold(vec!["-D".into(), ".".into()], |mut all, setting| {
        all.extend(["-c".into(), setting]);
        all
    });
    let launch = Launch { name: "postgres".into(), program: programs.join("postgres"), arguments, ..make };
    let process = Process::new(launch, address, recorder.clone(), tasks.clone());
    process.start().await?;
    within(PATIENCE, "Postgres answers", async || answers(address).await)
        .await
        .with_context(|| process.launch().end_of_log())?;
    create_database(address).await?;
    Ok(process)
}

/// Whether it takes connections.
pub async fn answers(address: SocketAddr) -> Option<()> {
    let server = format!("postgres://comanda@{address}/postgres");
    PgConnection::connect(&server).await.ok()?.close().await.ok()
}

/// As durable as in production.
fn settings(address: SocketAddr) -> Vec<String> {
    let (ip, port) = (address.ip(), address.port());
    [
        "fsync=on",
        "synchronous_commit=on",
        "max_connections=400",
        "shared_buffers=64MB",
        "timezone=UTC",
        "log_timezone=UTC",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("listen_addresses={ip}"), format!("port={port}"), "unix_socket_directories=".into()])
    .collect()
}

async fn create_database(address: SocketAddr) -> Result<()> {
    let mut server = PgConnection::connect(&format!("postgres://comanda@{address}/postgres")).await?;
    sqlx::query("CREATE DATABASE comanda").execute(&mut server).await?;
    Ok(server.close().await?)
}

/// Where the server's programs are.
fn programs() -> Result<PathBuf> {
    let named = settings::variable("COMANDA_POSTGRES_BIN").map(PathBuf::from);
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    installed
        .sort_by_key(|folder| folder.parent().and_then(|version| version.file_name()?.to_str()?.parse::<u32>().ok()));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = named.into_iter().chain(installed.into_iter().rev()).chain(env::split_paths(&path));
    let found = folders.find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    found.context("no Postgres server is installed; run scripts/setup --tests, or name its programs' folder in COMANDA_POSTGRES_BIN")
}

/// User and group to run it as; none if we are not root.
fn account() -> Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self").context("there is no /proc")?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    let found = ACCOUNTS.into_iter().find_map(find);
    found.map(Some).context("running as root, and there is no account to run Postgres as; start it as another user")
}
