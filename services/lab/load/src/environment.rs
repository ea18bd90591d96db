//! Where a measurement was made: without that no figure means anything.

use std::fs;

use anyhow::Result;
use procfs::{CurrentSI, KernelStats};
use sqlx::PgConnection;

/// The machine and the versions of everything.
pub async fn describe(sql: &mut PgConnection) -> Result<Vec<(String, String)>> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("comanda", concat!("version ", env!("CARGO_PKG_VERSION")).into()),
        fact("program", program()),
        fact("commit of the working folder", commit()),
        fact("processor", processor()),
        fact("cores", std::thread::available_parallelism().map_or(0, usize::from).to_string()),
        fact("kernel", first_line("/proc/sys/kernel/osrelease")),
        fact("load average before", first_line("/proc/loadavg")),
        fact("transports", "loopback; generator, Postgres, Kafka and all roles on this machine".into()),
    ];
    for setting in
        ["server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "wal_compression"]
    {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut *sql).await?;
        facts.push(fact(&format!("Postgres {setting}"), value));
    }
    facts.push(fact("Kafka", "acks=all, idempotent producers, replication factor 1".into()));
    Ok(facts)
}

/// Jiffies that the machine's owner gave to somebody else, and all.
pub fn stolen() -> Result<(u64, u64)> {
    let total = KernelStats::current()?.total;
    let all =
        total.user + total.nice + total.system + total.idle + total.iowait.unwrap_or(0) + total.steal.unwrap_or(0);
    Ok((total.steal.unwrap_or(0), all))
}

/// What runs; not always built from the commit of the folder in which it runs.
fn program() -> String {
    std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default()
}

fn commit() -> String {
    let output = std::process::Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().into()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    name.map(|name| name.trim_start_matches([' ', '\t', ':']).into()).unwrap_or_default()
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().into()
}
