//! `comanda order advance|cancel|reject`: one step of an order, by command.

use clap::Args;
use comanda_proto::v1::{
    AdvanceOrderRequest, CancelOrderRequest, OrderTransition, RejectOrderRequest,
    lifecycle_service_client::LifecycleServiceClient,
};
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use super::{Client, event, key::OrderKey};
use crate::failure::Failure;

/// Which order, and what to note down.
#[derive(Args, Clone, Debug)]
pub struct StepArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER")]
    order: OrderKey,
    /// Why; kept in the history and sent to watchers.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Only while the order has this version.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    expected_version: Option<i64>,
    /// A UUID that makes it safe to repeat the command; made up without it.
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// `comanda order advance`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda order advance 1042
  comanda order advance 1042 --to dispatched
  comanda order advance 1042 --expected-version 2

Where the outcome is unknown (exit code 3), repeat the command with the request id that it printed: the order moves once.")]
pub struct AdvanceArgs {
    #[command(flatten)]
    step: StepArgs,
    /// The status to enter; without it, the one next status that the workflow offers.
    #[arg(long, value_name = "STATUS", default_value = "", hide_default_value = true)]
    to: String,
}

/// Moves an order one step ahead.
pub async fn advance(client: &Client, args: AdvanceArgs) -> Result<(), Failure> {
    let Target { mut service, order_id, request_id } = target(client, &args.step).await?;
    let request = client.servers.request(AdvanceOrderRequest {
        order_id,
        request_id: request_id.clone(),
        expected_version: args.step.expected_version.unwrap_or_default(),
        to_status: args.to,
        reason: args.step.reason,
    });
    let answer = client.servers.answer(service.advance_order(request)).await.map_err(repeat_with(&request_id))?;
    print(client, "comanda.v1.AdvanceOrderResponse", &answer, answer.transition.as_ref(), answer.replayed)
}

/// Withdraws an order.
pub async fn cancel(client: &Client, args: StepArgs) -> Result<(), Failure> {
    let Target { mut service, order_id, request_id } = target(client, &args).await?;
    let request = client.servers.request(CancelOrderRequest {
        order_id,
        request_id: request_id.clone(),
        expected_version: args.expected_version.unwrap_or_default(),
        reason: args.reason,
    });
    let answer = client.servers.answer(service.cancel_order(request)).await.map_err(repeat_with(&request_id))?;
    print(client, "comanda.v1.CancelOrderResponse", &answer, answer.transition.as_ref(), answer.replayed)
}

/// Refuses an order.
pub async fn reject(client: &Client, args: StepArgs) -> Result<(), Failure> {
    let Target { mut service, order_id, request_id } = target(client, &args).await?;
    let request = client.servers.request(RejectOrderRequest {
        order_id,
        request_id: request_id.clone(),
        expected_version: args.expected_version.unwrap_or_default(),
        reason: args.reason,
    });
    let answer = client.servers.answer(service.reject_order(request)).await.map_err(repeat_with(&request_id))?;
    print(client, "comanda.v1.RejectOrderResponse", &answer, answer.transition.as_ref(), answer.replayed)
}

/// What each of the three needs first.
struct Target {
    service: LifecycleServiceClient<Channel>,
    order_id: String,
    request_id: String,
}

async fn target(client: &Client, args: &StepArgs) -> Result<Target, Failure> {
    let service = client.servers.lifecycle().await?;
    let order_id = client.order_id(args.order).await?;
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    Ok(Target { service, order_id, request_id })
}

fn repeat_with(request_id: &str) -> impl Fn(Status) -> Failure {
    let advice = format!("repeat it with --request-id {request_id}: it can not be applied twice");
    move |status| Failure::from(status).advise_if_unknown(&advice)
}

fn print(
    client: &Client,
    name: &str,
    answer: &impl prost::Message,
    transition: Option<&OrderTransition>,
    replayed: bool,
) -> Result<(), Failure> {
    let human = |paint| transition.map(|transition| event::transition(transition, paint)).unwrap_or_default();
    client.print.show(name, answer, human)?;
    if replayed {
        client.print.notice("that had been done before: nothing new was applied");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: AdvanceArgs,
    }

    #[test]
    fn an_order_is_all_that_must_be_named() {
        let args = Cli::parse_from(["advance", "1042"]).args;
        assert_eq!((args.step.order, args.step.expected_version), (OrderKey::Number(1042), None));
        assert!(Cli::try_parse_from(["advance"]).is_err());
        assert!(Cli::try_parse_from(["advance", "1042", "--expected-version", "0"]).is_err());
    }

    #[test]
    fn an_unknown_outcome_tells_how_to_repeat_it() {
        let failure = repeat_with("id")(Status::deadline_exceeded("late"));
        assert!(failure.message.contains("--request-id id"), "{}", failure.message);
        assert!(!repeat_with("id")(Status::aborted("moved on")).message.contains("--request-id"));
    }
}
