//! Waiting for something to become true.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

const POLL: Duration = Duration::from_millis(50);

/// Asks until there is an answer; after `patience` it is an error that `what` did not come true.
pub async fn within<T>(patience: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if let Ok(Some(answer)) = timeout_at(end, ask()).await {
            return Ok(answer);
        }
        sleep(POLL).await;
    }
    bail!("not within {patience:?}: {what}")
}
