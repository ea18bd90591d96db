//! Follows the files of a listener's TLS. What cannot be used changes nothing: the last good certificate stays.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use metrics::{counter, gauge};
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::files::{Content, Files, Loaded};
use crate::shutdown::Tasks;

/// How often the files are read. Their content is compared: neither times nor events of file systems tell of every exchange (a volume of
/// Kubernetes moves a link).
const INTERVAL: Duration = Duration::from_secs(3);

/// Reads the files, which must be good, and again and again until the stop.
pub fn follow(files: Files, tasks: &Tasks) -> Result<watch::Receiver<Arc<ServerConfig>>> {
    let content = files.read()?;
    let loaded = files.load(&content)?;
    tell(&loaded);
    let (sender, receiver) = watch::channel(loaded.config);
    tasks.spawn("certificates", reread(files, Ok(content), sender, tasks.stop_token()));
    Ok(receiver)
}

/// `seen` is what was read last, or why it could not be, so that each change is told once.
async fn reread(
    files: Files,
    mut seen: Result<Content, String>,
    current: watch::Sender<Arc<ServerConfig>>,
    stop: CancellationToken,
) -> Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        let reading = files.clone();
        let found = spawn_blocking(move || reading.read().map_err(|error| format!("{error:#}"))).await?;
        if found != seen {
            take(&files, &found, &current);
            seen = found;
        }
    }
    Ok(())
}

fn take(files: &Files, found: &Result<Content, String>, current: &watch::Sender<Arc<ServerConfig>>) {
    let loaded = match found {
        Ok(content) => files.load(content).map_err(|error| format!("{error:#}")),
        Err(error) => Err(error.clone()),
    };
    match loaded {
        Ok(loaded) => {
            tell(&loaded);
            counter!("comanda_tls_reloads_total", "result" => "ok").increment(1);
            current.send_replace(loaded.config);
        }
        Err(error) => {
            counter!("comanda_tls_reloads_total", "result" => "failed").increment(1);
            error!("the new TLS files cannot be used, so the old certificate stays: {error}");
        }
    }
}

fn tell(loaded: &Loaded) {
    gauge!("comanda_tls_certificate_expiry_timestamp_seconds").set(loaded.expiry as f64);
    match OffsetDateTime::from_unix_timestamp(loaded.expiry) {
        Ok(expiry) if expiry <= OffsetDateTime::now_utc() => {
            warn!("the TLS certificate expired at {expiry}: clients refuse it")
        }
        Ok(expiry) => info!("the TLS certificate is valid until {expiry}"),
        Err(_) => info!("the TLS certificate does not expire"),
    }
}
