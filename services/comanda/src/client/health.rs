//! `comanda healthcheck`: grpc.health.v1, for containers and scripts.

use clap::Args;
use comanda_client::Address;
use serde_json::json;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{Client, ClientArgs, status::lines};
use crate::failure::Failure;

/// Which servers to ask.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code 0: all serve. 1: one does not, or cannot be reached. Without --addr every role's address is asked.

Example:
  comanda healthcheck --addr 127.0.0.1:50052 --timeout-ms 2000")]
pub struct HealthArgs {
    /// Ask for one gRPC service (comanda.v1.OrderService) instead of the whole server.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Fails unless all serve.
pub async fn run(args: HealthArgs) -> Result<(), Failure> {
    let client = Client::from(args.client);
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

async fn check(client: &Client, address: &Address, service: &str) -> Result<(), String> {
    match client.api.check_health(address, service).await {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(other) => Err(other.as_str_name().to_owned()),
        Err(error) => Err(lines(&error).join("; ")),
    }
}
