//! Logs and metrics.

use std::{io::IsTerminal, net::SocketAddr};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;

use crate::settings;

/// How a log line looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Settings of logs and metrics.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// How log lines look. RUST_LOG chooses what is logged (default: info).
    #[arg(long, env = "COMANDA_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
}

/// Seconds: buckets of every histogram of a duration.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets of every histogram of a batch's size.
const SIZE_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Starts logging to standard error. Colours only on a terminal.
pub fn init_logs(config: &Config) {
    // An empty variable is no setting; to the filter it would mean errors alone.
    let chosen = settings::variable(EnvFilter::DEFAULT_ENV);
    let chosen = chosen.and_then(|filter| EnvFilter::try_new(filter.to_str()?).ok());
    let filter = chosen.unwrap_or_else(|| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if a logger is set already, which is then the one to use.
    let _ = match config.log_format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
}

/// Serves Prometheus metrics on `http://ADDRESS/metrics`.
pub fn serve_metrics(address: SocketAddr) -> Result<()> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZE_BUCKETS)?
        .with_http_listener(address)
        .install()
        .with_context(|| format!("cannot serve metrics on {address}; choose another --admin-listen"))
}
