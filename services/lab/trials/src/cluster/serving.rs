//! Whether a process says that it serves, and what it shows over plain HTTP.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::endpoints::{Replica, Role};

const QUESTION: Duration = Duration::from_secs(5);
/// More than any process has to say.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// Whether a replica says that it serves, past the proxy. One that is silent for 5 s does not.
pub async fn is_serving(replica: &Replica) -> bool {
    let asked = async {
        match replica.role {
            Role::Gateway => page(replica.direct, "/healthz").await.is_ok(),
            _ => says_serving(replica.direct).await.unwrap_or(false),
        }
    };
    timeout(QUESTION, asked).await.unwrap_or(false)
}

async fn says_serving(address: SocketAddr) -> Result<bool> {
    let mut health = HealthClient::new(Endpoint::from_shared(format!("http://{address}"))?.connect().await?);
    let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
    Ok(answer.status() == ServingStatus::Serving)
}

/// The body of an answer 200 to a GET.
pub async fn page(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // The older protocol, so that the answer comes whole and the connection ends with it.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(PAGE_BYTES).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "the answer is {status:?}");
    Ok(body.to_owned())
}
