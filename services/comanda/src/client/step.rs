//! `comanda order advance|cancel|reject`: one step of an order, by command.

use clap::{Args, ValueHint};
use comanda_client::Error;
use comanda_proto::v1::{AdvanceOrderRequest, CancelOrderRequest, OrderTransition, RejectOrderRequest};
use uuid::Uuid;

use super::{Client, event, key::OrderKey};
use crate::failure::Failure;

/// Which order, and what to note down.
#[derive(Args, Clone, Debug)]
pub struct StepArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER")]
    order: OrderKey,
    /// Why: any text of at most 500 characters. Kept in the history and sent to watchers.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(value_hint = ValueHint::Other)]
    reason: String,
    /// Only while the order has this version.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    expected_version: Option<i64>,
    /// A UUID that makes it safe to repeat the command; chosen at random without it.
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// `comanda order advance`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda order advance 1042
  comanda order advance 1042 --to dispatched --reason 'the courier waits'
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
    let Target { order_id, request_id } = target(client, &args.step).await?;
    let request = AdvanceOrderRequest {
        order_id,
        request_id: request_id.clone(),
        expected_version: args.step.expected_version.unwrap_or_default(),
        to_status: args.to,
        reason: args.step.reason,
    };
    let answer = client.api.advance_order(request).await.map_err(repeat_with(&request_id))?;
    print(client, "comanda.v1.AdvanceOrderResponse", &answer, answer.transition.as_ref(), answer.replayed)
}

/// Withdraws an order.
pub async fn cancel(client: &Client, args: StepArgs) -> Result<(), Failure> {
    let Target { order_id, request_id } = target(client, &args).await?;
    let request = CancelOrderRequest {
        order_id,
        request_id: request_id.clone(),
        expected_version: args.expected_version.unwrap_or_default(),
        reason: args.reason,
    };
    let answer = client.api.cancel_order(request).await.map_err(repeat_with(&request_id))?;
    print(client, "comanda.v1.CancelOrderResponse", &answer, answer.transition.as_ref(), answer.replayed)
}

/// Refuses an order.
pub async fn reject(client: &Client, args: StepArgs) -> Result<(), Failure> {
    let Target { order_id, request_id } = target(client, &args).await?;
    let request = RejectOrderRequest {
        order_id,
        request_id: request_id.clone(),
        expected_version: args.expected_version.unwrap_or_default(),
        reason: args.reason,
    };
    let answer = client.api.reject_order(request).await.map_err(repeat_with(&request_id))?;
    print(client, "comanda.v1.RejectOrderResponse", &answer, answer.transition.as_ref(), answer.replayed)
}

/// What each of the three needs first.
struct Target {
    order_id: String,
    request_id: String,
}

async fn target(client: &Client, args: &StepArgs) -> Result<Target, Failure> {
    let order_id = client.order_id(args.order).await?;
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    Ok(Target { order_id, request_id })
}

fn repeat_with(request_id: &str) -> impl Fn(Error) -> Failure {
    let advice = format!("repeat it with --request-id {request_id}: it is applied once");
    move |error| Failure::from(error).advise_if_unknown(&advice)
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
    use comanda_kit::settings;
    use tonic::Status;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: AdvanceArgs,
    }

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        settings::try_parse_from([&["advance", "1042"], args].concat())
    }

    #[test]
    fn a_reason_may_begin_with_a_hyphen_but_may_not_be_forgotten() {
        for args in [["--reason", "-sin stock"], ["--reason=-sin stock", "--expected-version=1"], ["--reason", "--x"]] {
            let parsed = parse(&args).expect("valid");
            assert!(parsed.args.step.reason.starts_with('-'), "{args:?}");
        }
        for args in [&["--reason", "--expected-version", "2"][..], &["--reason", "--to=dispatched"], &["--reason"]] {
            let error = parse(args).err().expect("forgotten").to_string();
            assert!(error.contains("a value is required for '--reason <TEXT>'"), "{error}");
        }
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
        let failure = repeat_with("id")(Status::deadline_exceeded("late").into());
        assert!(failure.message.contains("--request-id id"), "{}", failure.message);
        assert!(!repeat_with("id")(Status::aborted("moved on").into()).message.contains("--request-id"));
    }
}
