//! Clients that mean harm, against one running replica: thousands of bad calls, and attacks below gRPC, on plain sockets with
//! hand-made HTTP/2. Beside them a good client goes on calling.
//!
//! What must hold: the process lives and does not panic; what is protobuf is never answered INTERNAL or UNKNOWN; the good client is
//! served; memory stays within bounds and comes back; connections that say nothing are closed in time.

mod bad_calls;
mod flood;
mod good;
mod message;
mod methods;
mod patience;
mod process;
mod report;
mod silence;
mod stage;
mod streams;
mod target;
mod unread;
mod wrong;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

pub use self::{
    good::Served,
    report::{Report, Row},
};
use self::{process::Process, stage::Stage, target::Target};
use crate::{
    cluster::{Cluster, Folder, Role, Shape},
    recorder::Recorder,
    run::{self, HISTORY},
    smtp::SmtpServer,
};

/// Bad calls before memory is measured: what a process needs at all, it has then.
const WARM_UP_CALLS: u64 = 3000;
const PARTITIONS: i32 = 6;

/// What may be chosen of these attacks.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Determines the bad calls.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many of them, of all roles.
    #[arg(long, default_value_t = 100_000)]
    pub calls: u64,
    /// The program to attack [default: `comanda` beside this program]
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Keep logs and data, whatever comes out. They are kept anyway where something is wrong.
    #[arg(long)]
    pub keep: bool,
}

/// Attacks each role in its turn and tells of it. True where all was borne.
pub fn hostile(options: &Options) -> Result<bool> {
    let binary = run::binary(options.binary.as_deref())?;
    let folder = Folder::create()?;
    eprintln!("logs and data: {}", folder.path().display());
    let reports = attack_all(options, binary, &folder);
    let good = reports.as_ref().is_ok_and(|reports| reports.iter().all(Report::is_good));
    if options.keep || !good {
        folder.keep()?;
    }
    for (role, report) in Role::SERVERS.into_iter().zip(&reports?) {
        println!("{}\n{report}", role.name());
    }
    Ok(good)
}

/// A system of its own, with one process of each role.
#[tokio::main]
async fn attack_all(options: &Options, binary: PathBuf, folder: &Folder) -> Result<Vec<Report>> {
    let recorder = Recorder::create(&folder.path().join(HISTORY))?;
    let smtp = SmtpServer::start(recorder.clone(), options.seed).await?;
    let (seed, settings) = (options.seed, Vec::new());
    let (roles, partitions, step_ms) = (&Role::SERVERS, PARTITIONS, 1000);
    let (replicas, gateways, tenants) = (1, 0, 1);
    let shape = Shape { brokers: 1, roles, replicas, gateways, tenants, partitions, step_ms, binary, seed, settings };
    let cluster = Cluster::start(shape, smtp.address(), folder, &recorder).await?;
    let reports = tokio::select! {
        reports = attack_each(&cluster, options) => reports?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    cluster.stop().await?;
    smtp.stop().await;
    Ok(reports)
}

async fn attack_each(cluster: &Cluster, options: &Options) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for (replica, process) in cluster.endpoints.replicas.iter().zip(&cluster.roles) {
        let pid = process.pid().with_context(|| format!("{} does not run", replica.name))?;
        eprintln!("{}", replica.name);
        let calls = options.calls.div_ceil(Role::SERVERS.len() as u64);
        let report = run(replica.direct, pid, options.seed, calls).await;
        // An end amid the attacks is the worst that they can come to.
        reports.push(report.unwrap_or_else(|error| Report::broken(&error)));
    }
    Ok(reports)
}

/// Attacks the replica that listens at `address`, whose process is `pid`, for about two minutes. `seed` determines the bad calls.
///
/// Fails where nothing is served there; what the replica did wrong is in the report.
pub async fn run(address: SocketAddr, pid: u32, seed: u64, bad_calls: u64) -> Result<Report> {
    let (target, process) = (Target::ask(address).await?, Process::of(pid)?);
    bad_calls::run(&target, WARM_UP_CALLS, !seed).await?;
    let mut stage = Stage::new(&target, process);
    stage.bad_calls(&target, bad_calls, seed).await?;
    message::attack(&mut stage, &target).await?;
    flood::attack(&mut stage, &target).await?;
    wrong::attack(&mut stage, &target, seed).await?;
    streams::attack(&mut stage, &target).await?;
    patience::attack(&mut stage, &target).await?;
    Ok(stage.close())
}
