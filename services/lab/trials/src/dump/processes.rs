//! What each process says of itself. One that does not answer is not serving, and counts nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use comanda_checker::history::What;
use tokio::time::timeout;

use super::metrics;
use crate::{
    cluster::{Endpoints, Replica, is_serving, page},
    recorder::Recorder,
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes it all down.
pub(super) async fn dump(endpoints: &Endpoints, recorder: &Recorder) {
    for replica in &endpoints.replicas {
        let serving = is_serving(replica).await;
        recorder.record(What::Health { replica: replica.name.clone(), serving });
        match timeout(ANSWER_TIMEOUT, counters(replica)).await.context("no answer in time").flatten() {
            Ok(counters) => counters.into_iter().for_each(|(name, value)| {
                recorder.record(What::Counter { process: replica.name.clone(), name, value });
            }),
            // They tell of repairs that hide bugs.
            Err(error) => recorder.record(What::Alarm {
                process: replica.name.clone(),
                line: format!("its metrics could not be read: {error:#}"),
            }),
        }
    }
}

async fn counters(replica: &Replica) -> Result<Vec<(String, f64)>> {
    Ok(metrics::counters(&page(replica.admin, "/metrics").await?))
}
