//! How large a cluster is, and how fast it lives.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::endpoints::Role;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Kafka brokers: 1, or 3 of which 2 must have each record.
    pub brokers: usize,
    /// The roles that run and serve gRPC.
    pub roles: &'static [Role],
    /// Processes of each of them.
    pub replicas: usize,
    /// Gateways before them.
    pub gateways: usize,
    /// Tenants whose clients there are. Where there are several, every server asks for keys.
    pub tenants: usize,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Replaces the delay of every timer.
    pub step_ms: u64,
    /// The program that is attacked.
    pub binary: PathBuf,
    /// Of what is random in the links.
    pub seed: u64,
    /// Further environment of every role, over what is set here.
    pub settings: Vec<(String, String)>,
}

/// What the roles of a trial are told beside their addresses: everything that waits waits shortly, so that a fault's effects and its
/// mending fit into a run. Mails have so many tries that no fault but a refusal can kill one.
pub fn quick_settings(step_ms: u64) -> Vec<(String, String)> {
    let retries = ["500ms", "1s"].into_iter().chain(std::iter::repeat_n("2s", 60)).collect::<Vec<_>>().join(",");
    let settings = [
        ("COMANDA_STEP_MS", step_ms.to_string()),
        ("COMANDA_MAIL_RETRY_DELAYS", retries),
        ("COMANDA_SMTP_TIMEOUT_MS", "2000".into()),
        ("COMANDA_SMTP_DATA_TIMEOUT_MS", "3000".into()),
        ("COMANDA_SMTP_PAUSE_MS", "250".into()),
        // Longer than the silence after which a client that looks for the last time is content.
        ("COMANDA_WATCH_HEARTBEAT_MS", "4000".into()),
        ("COMANDA_WATCH_EPOCH_MS", "1000".into()),
        ("COMANDA_WATCH_STALL_MS", "10000".into()),
        ("COMANDA_KAFKA_CONFIG", "session.timeout.ms=6000".into()),
        ("RUST_LOG", "info,rdkafka=error,librdkafka=error".into()),
        ("RUST_BACKTRACE", "1".into()),
    ];
    settings.map(|(key, value)| (key.to_owned(), value)).into()
}

/// What a binary says it is, with the commit that the checkout it lies in has now, where there is one.
pub fn version(binary: &Path) -> String {
    let said = |command: &mut Command| {
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = said(Command::new(binary).arg("--version"));
    let folder = binary.parent().unwrap_or(Path::new("."));
    let commit = said(Command::new("git").arg("-C").arg(folder).args([
        "describe",
        "--always",
        "--dirty",
        "--abbrev=10",
        "--exclude=*",
    ]));
    [version, commit].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
