//! Disks that fill up: the broker's, and the one of Postgres' log.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use comanda_checker::history::What;
use futures::{FutureExt, future::LocalBoxFuture};
use sqlx::{Connection, PgConnection};
use tokio::{
    process::Command,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    facts::{Facts, back_s},
    goal::Goal,
    trial::{Plan, Terms, Trial},
};
use crate::{
    cluster::{Process, Signal},
    nemesis::Field,
};

/// Set by the script that gave this process mounts of its own, which end with it.
const OWN_MOUNTS: &str = "COMANDA_TRIALS_OWN_MOUNTS";
const SIZE_MIB: u64 = 128;
const FULL_MS: u64 = 15_000;
/// Before, between and after.
const CALM: Duration = Duration::from_secs(8);
const COMMAND: Duration = Duration::from_secs(30);

/// Both, one after the other.
pub const FULL: Trial = Trial {
    name: "disk-full",
    about: "The disk of the broker, then that of Postgres' log is full for 15 s: nothing is lost, and all goes on when there is room",
    plan: |_| Plan { replicas: 1, ..Plan::default() },
    act: Some(fill_both),
    goals: |facts| {
        let meanwhile = facts.span_us("kafka disk full").map(|(from_us, to_us)| {
            let calls = facts.calls();
            calls
                .iter()
                .filter(|call| call.creates() && call.failed() && (from_us..to_us).contains(&call.done_us))
                .count() as f64
        });
        vec![
            Goal::most("creates that failed while the broker's disk was full", meanwhile, 0.0),
            Goal::most(
                "s from room for Postgres until orders were taken as before",
                back(facts, "postgres disk full"),
                10.0,
            ),
        ]
    },
};

/// Whether it can be made here; if not, what to do.
pub fn obstacle() -> Option<&'static str> {
    env::var_os(OWN_MOUNTS).is_none().then_some("needs root and mounts of its own, which scripts/trials gives it")
}

fn back(facts: &Facts<'_>, name: &str) -> Option<f64> {
    let fault = facts.faults(name).next()?;
    let back = back_s(&facts.accepted_us(), fault, facts.case.last_heal_us?)?;
    Some((back - (fault.to_us - fault.from_us) as f64 / 1e6).max(0.0))
}

/// A folder of a process that is a small disk for a while.
struct Disk {
    name: &'static str,
    folder: PathBuf,
    process: Process,
    /// Of Postgres, which fills files that it has already before it makes a new one.
    database_url: Option<String>,
}

fn fill_both(field: Arc<Field>, terms: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        let kafka = field.cluster.brokers.first().context("there is no broker")?.clone();
        let postgres = field.cluster.postgres.clone();
        let disks = [
            Disk {
                name: "kafka disk full",
                folder: kafka.launch().folder.join("data"),
                process: kafka,
                database_url: None,
            },
            Disk {
                name: "postgres disk full",
                folder: postgres.launch().folder.join("pg_wal"),
                process: postgres,
                database_url: Some(field.cluster.endpoints.database_url.clone()),
            },
        ];
        for disk in &disks {
            sleep(CALM).await;
            fault(&field, "disk made small, with a restart of postgres or kafka", disk.shrink()).await?;
            sleep(CALM).await;
            fault(&field, disk.name, disk.fill_for(Duration::from_millis(terms.ms(FULL_MS)))).await?;
            sleep(CALM).await;
            fault(&field, "disk made large, with a restart of postgres or kafka", disk.enlarge()).await?;
        }
        Ok(())
    }
    .boxed_local()
}

async fn fault(field: &Field, name: &str, act: impl Future<Output = Result<()>>) -> Result<()> {
    let fault = field.recorder.number();
    field.recorder.record(What::Fault { fault, name: name.into(), target: "all".into() });
    act.await?;
    field.recorder.record(What::Heal { fault, failed: None });
    Ok(())
}

impl Disk {
    fn aside(&self) -> PathBuf {
        self.folder.with_extension("aside")
    }

    /// Moves what is there to a disk of its own.
    async fn shrink(&self) -> Result<()> {
        self.process.end(Signal::Int).await?;
        run("mv", &[self.folder.as_ref(), self.aside().as_ref()]).await?;
        run("mkdir", &[self.folder.as_ref()]).await?;
        let size = format!("size={SIZE_MIB}m");
        run(
            "mount",
            &["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), size.as_ref(), "tmpfs".as_ref(), self.folder.as_ref()],
        )
        .await?;
        copy(&self.aside(), &self.folder).await?;
        run("rm", &["-r".as_ref(), self.aside().as_ref()]).await?;
        self.process.start().await
    }

    /// Takes all the room that is left, gives it back after a while, and starts what has ended of it.
    async fn fill_for(&self, time: Duration) -> Result<()> {
        self.process.may_end(true);
        let filler = self.folder.join("filler");
        let full = filler.clone();
        spawn_blocking(move || fill(&full)).await??;
        if let Some(url) = &self.database_url {
            use_up(url).await?;
        }
        sleep(time).await;
        tokio::fs::remove_file(filler).await?;
        self.process.may_end(false);
        self.process.start().await
    }

    /// Moves everything back.
    async fn enlarge(&self) -> Result<()> {
        self.process.end(Signal::Int).await?;
        run("mkdir", &[self.aside().as_ref()]).await?;
        copy(&self.folder, &self.aside()).await?;
        run("umount", &[self.folder.as_ref()]).await?;
        run("rmdir", &[self.folder.as_ref()]).await?;
        run("mv", &[self.aside().as_ref(), self.folder.as_ref()]).await?;
        self.process.start().await
    }
}

/// Writes until there is no room.
fn fill(path: &Path) -> Result<()> {
    let (mut file, zeros) = (File::create(path)?, [0; 64 * 1024]);
    for _ in 0..=SIZE_MIB * 16 {
        if file.write_all(&zeros).is_err() {
            return Ok(());
        }
    }
    bail!("{} does not fill up", path.display())
}

/// Has Postgres write log until it finds no room.
async fn use_up(database_url: &str) -> Result<()> {
    let mut connection = timeout(COMMAND, PgConnection::connect(database_url)).await??;
    let message = "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1024 * 1024))";
    for _ in 0..SIZE_MIB {
        let written = timeout(COMMAND, sqlx::query(message).execute(&mut connection)).await;
        if !written.is_ok_and(|written| written.is_ok()) {
            return Ok(());
        }
    }
    bail!("Postgres finds room for all of its log")
}

/// With owners and modes, those of the folder included.
async fn copy(from: &Path, to: &Path) -> Result<()> {
    run("cp", &["-a".as_ref(), from.join(".").as_ref(), to.as_ref()]).await?;
    let like = format!("--reference={}", from.display());
    run("chown", &[like.as_ref(), to.as_ref()]).await?;
    run("chmod", &[like.as_ref(), to.as_ref()]).await
}

async fn run(program: &str, arguments: &[&OsStr]) -> Result<()> {
    let status = timeout(COMMAND, Command::new(program).args(arguments).status()).await;
    let status =
        status.with_context(|| format!("{program} hangs"))?.with_context(|| format!("there is no {program}"))?;
    ensure!(status.success(), "{program} {arguments:?} failed ({status})");
    Ok(())
}
