//! What every reader of a topic needs first: which log the topic has. A log that is lost is replaced by a new one with a higher epoch,
//! which is read from its beginning.

use std::{future::Future, time::Duration};

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    backoff::sleep,
    kafka::{self, Watermarks},
    postgres::StoreError,
};

/// How long to wait before the database is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The log that a topic has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Epoch of the log, as the topic's writer publishes it.
    pub epoch: i64,
    /// Where each partition began and ended.
    pub watermarks: Watermarks,
}

/// Waits for the database, which knows the epoch, and for the topic, however long; `None` at the stop.
pub async fn wait_for_log<F>(
    kafka: &kafka::Config,
    topic: &str,
    topic_epoch: impl Fn() -> F,
    stop: &CancellationToken,
) -> Result<Option<Log>>
where
    F: Future<Output = Result<i64, StoreError>>,
{
    // The epoch first: a log that replaces this one in between is then noticed.
    while !stop.is_cancelled() {
        match topic_epoch().await {
            Ok(epoch) => {
                let watermarks = kafka::wait_for_topic(kafka, topic, stop).await?;
                return Ok(watermarks.map(|watermarks| Log { epoch, watermarks }));
            }
            Err(error) => warn!(topic, "waiting for the database: {error}"),
        }
        sleep(PAUSE, stop).await;
    }
    Ok(None)
}

/// Completes when the topic has another log than that of `epoch`. Asks every `interval`.
pub async fn replaced<F>(topic: &str, epoch: i64, topic_epoch: impl Fn() -> F, interval: Duration)
where
    F: Future<Output = Result<i64, StoreError>>,
{
    loop {
        tokio::time::sleep(interval).await;
        let now = topic_epoch().await.unwrap_or(epoch);
        if now != epoch {
            return info!(topic, epoch = now, "the topic has a new log: reading it from its beginning");
        }
    }
}
