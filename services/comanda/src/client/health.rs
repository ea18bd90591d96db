//! `comanda healthcheck`: grpc.health.v1, for containers and scripts.

use clap::Args;
use comanda_client::{Address, tls::Connector};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{Client, ClientArgs, status::lines};
use crate::failure::Failure;

/// Of an answer only the first line is read.
const MOST_STATUS_BYTES: u64 = 1024;

/// Which servers to ask.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code 0: all serve. 1: one does not, or cannot be reached. Without --addr every role's address is asked.

Example:
  comanda healthcheck --addr 127.0.0.1:50052 --timeout-ms 2000
  comanda healthcheck --http 127.0.0.1:8080
  comanda healthcheck --http https://localhost:8080 --ca ca.crt")]
pub struct HealthArgs {
    /// Ask for one gRPC service (comanda.v1.OrderService) instead of the whole server.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
    /// Ask a gateway at this address instead, over HTTP, or with https:// over HTTPS.
    #[arg(long, value_name = "ADDR", conflicts_with = "service")]
    http: Option<Address>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Fails unless all serve.
pub async fn run(args: HealthArgs) -> Result<(), Failure> {
    let client = Client::try_from(args.client)?;
    if let Some(address) = args.http {
        return check_gateway(&client, &address).await;
    }
    let mut failed = Vec::new();
    for address in client.servers.addresses() {
        match check(&client, &address, &args.service).await {
            Ok(()) => client
                .print
                .value(&json!({"address": address.to_string(), "status": "SERVING"}), &format!("{address} serves"))?,
            Err(error) => failed.push(format!("{address}: {error}")),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::refused(failed.join("\n  "))) }
}

/// Asks as any caller of HTTP would.
async fn check_gateway(client: &Client, address: &Address) -> Result<(), Failure> {
    let answer = timeout(client.servers.config().deadline, status_line(client, address)).await;
    let status = match answer {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Err(Failure::refused(format!("{address}: {error}"))),
        Err(_) => return Err(Failure::refused(format!("{address}: no answer in time"))),
    };
    if !status.contains(" 200 ") {
        return Err(Failure::refused(format!("{address}: {status}")));
    }
    let shown = address.to_string();
    client.print.value(&json!({"address": shown, "status": "SERVING"}), &format!("{shown} serves"))?;
    Ok(())
}

async fn status_line(client: &Client, address: &Address) -> std::io::Result<String> {
    let (host, port) = address.host_and_port();
    if address.has_tls() {
        return ask(Connector::new(client.servers.trust().tls(), b"http/1.1").connect(host, port).await?).await;
    }
    ask(TcpStream::connect((host.trim_matches(['[', ']']), port)).await?).await
}

async fn ask(connection: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<String> {
    let mut connection = BufReader::new(connection);
    connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut line = String::new();
    connection.take(MOST_STATUS_BYTES).read_line(&mut line).await?;
    Ok(line.trim().to_owned())
}

async fn check(client: &Client, address: &Address, service: &str) -> Result<(), String> {
    match client.api.check_health(address, service).await {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(other) => Err(other.as_str_name().to_owned()),
        Err(error) => Err(lines(&error).join("; ")),
    }
}
