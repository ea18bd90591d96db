//! `comanda healthcheck`: grpc.health.v1, for containers and scripts.

use clap::Args;
use serde_json::json;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    Client, ClientArgs,
    address::Address,
    connect::dial,
    status::{lines, root_cause},
};
use crate::failure::Failure;

/// Whom to ask.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit code 0: all serve. 1: one does not, or can not be reached. Without --addr every role's address is asked.

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
    let mut ailing = Vec::new();
    for address in client.servers.addresses() {
        match check(&client, address, &args.service).await {
            Ok(()) => client
                .print
                .value(&json!({"address": address.to_string(), "status": "SERVING"}), &format!("{address} serves"))?,
            Err(error) => ailing.push(format!("{address}: {error}")),
        }
    }
    if ailing.is_empty() { Ok(()) } else { Err(Failure::refused(ailing.join("\n  "))) }
}

async fn check(client: &Client, address: &Address, service: &str) -> Result<(), String> {
    let mut health = HealthClient::new(dial(address).await.map_err(|error| root_cause(&error))?);
    let request = client.servers.request(HealthCheckRequest { service: service.to_owned() });
    let answer = client.servers.answer(health.check(request)).await.map_err(|status| lines(&status).join("; "))?;
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        other => Err(other.as_str_name().to_owned()),
    }
}
