//! What each process says of itself. One that does not answer is not serving, and counts nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comanda_checker::history::What;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::metrics;
use crate::{
    cluster::{Endpoints, Replica},
    recorder::Recorder,
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// More than any process has to say.
const METRICS_BYTES: u64 = 4 * 1024 * 1024;

/// Writes it all down.
pub(super) async fn dump(endpoints: &Endpoints, recorder: &Recorder) {
    for replica in &endpoints.replicas {
        let serving = timeout(ANSWER_TIMEOUT, serves(replica)).await.unwrap_or(false);
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

async fn serves(replica: &Replica) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{}", replica.direct)) else { return false };
    let mut health = HealthClient::new(endpoint.connect_lazy());
    let answer = health.check(HealthCheckRequest::default()).await;
    answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}

async fn counters(replica: &Replica) -> Result<Vec<(String, f64)>> {
    let mut stream = TcpStream::connect(replica.admin).await?;
    // The older protocol, so that the answer comes whole and the connection ends with it.
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: trial\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(METRICS_BYTES).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "the answer is {status:?}");
    Ok(metrics::counters(body))
}
