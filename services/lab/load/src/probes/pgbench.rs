//! Transactions of one row each, sent by `pgbench`: what Postgres does for clients that do not batch.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{process::Command, time::timeout};

use crate::{
    report::{Better, Run},
    stage::Stage,
};

const CLIENTS: [usize; 2] = [16, 64];
const SCRIPT: &str = "INSERT INTO probe_single (payload) VALUES ('a small row');\n";
/// Connecting and ending, beyond the time that it measures.
const GRACE: Duration = Duration::from_secs(30);

/// Notes transactions a second, or nothing where there is no `pgbench`.
pub async fn transactions(stage: &Stage, duration: Duration, run: &mut Run) -> Result<()> {
    let Some(program) = program() else {
        eprintln!("no pgbench beside Postgres' programs or on PATH: one-row transactions are left out");
        return Ok(());
    };
    let script = stage.folder.join("probe.sql");
    fs::write(&script, SCRIPT)?;
    let table = "CREATE TABLE probe_single (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text)";
    sqlx::query(table).execute(&stage.sql).await?;
    for clients in CLIENTS {
        let rate = bench(&program, &script, stage, clients, duration).await?;
        run.figure(&format!("one-row transactions, {clients} clients"), "1/s", rate, Better::Higher);
    }
    Ok(())
}

async fn bench(program: &Path, script: &Path, stage: &Stage, clients: usize, duration: Duration) -> Result<f64> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(clients);
    let mut command = Command::new(program);
    command
        .args(["-n", "-M", "prepared", "-T", &duration.as_secs().max(1).to_string()])
        .args(["-c", &clients.to_string(), "-j", &threads.to_string(), "-f"])
        .arg(script)
        .arg(&stage.postgres.database_url)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(duration + GRACE, command.output()).await.context("pgbench does not end")??;
    if !output.status.success() {
        bail!("pgbench: {}", String::from_utf8_lossy(&output.stderr));
    }
    per_second(&String::from_utf8_lossy(&output.stdout)).context("pgbench tells no rate")
}

/// The line reads `tps = 1234.567890 (without initial connection time)`.
fn per_second(output: &str) -> Option<f64> {
    let rate = output.lines().find_map(|line| line.strip_prefix("tps = "))?;
    rate.split_whitespace().next()?.parse().ok()
}

/// The newest beside the server's programs, as the server is likely of that version; else that of PATH.
fn program() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let beside = versions.map(|folder| folder.join("bin")).max_by_key(|bin| major(bin));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join("pgbench")).find(|program| program.is_file())
}

fn major(bin: &Path) -> u32 {
    let version = bin.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_pgbench_prints() {
        let output = "number of failed transactions: 0 (0.000%)\nlatency average = 0.5 ms\n\
                      initial connection time = 12.3 ms\ntps = 1998.75 (without initial connection time)\n";
        assert_eq!(per_second(output), Some(1998.75));
        assert_eq!(per_second("connection failed"), None);
    }

    #[test]
    fn versions_are_numbers() {
        assert!(major(Path::new("/usr/lib/postgresql/17/bin")) > major(Path::new("/usr/lib/postgresql/9/bin")));
    }
}
