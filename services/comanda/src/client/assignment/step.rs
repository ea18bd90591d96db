//! `comanda assignment accept|decline|withdraw|arrived|picked-up|complete`: what a courier says about its job.

use clap::{Args, ValueHint};
use comanda_proto::v1::{
    AcceptOfferRequest, Assignment, CompleteAssignmentRequest, DeclineOfferRequest, GetAssignmentRequest,
    MarkArrivedRequest, MarkPickedUpRequest, WithdrawAssignmentRequest,
};

use super::{
    super::{Client, key::OrderKey},
    show,
};
use crate::failure::Failure;

const REPEAT: &str = "repeat it: it is applied once";

/// Which assignment.
#[derive(Args, Clone, Debug)]
pub struct StepArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER")]
    order: OrderKey,
    /// Which of its assignments, from 1; without it, the latest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    attempt: Option<i32>,
}

/// Which assignment, and why.
#[derive(Args, Clone, Debug)]
pub struct ReasonArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Why: any text of at most 500 characters. Published, and kept in the history.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(value_hint = ValueHint::Other)]
    reason: String,
}

/// A verb that names an assignment by order and attempt, which makes it safe to repeat.
macro_rules! verb {
    ($(#[$doc:meta])* $name:ident, $call:ident, $request:ident, $response:literal) => {
        $(#[$doc])*
        pub async fn $name(client: &Client, args: StepArgs) -> Result<(), Failure> {
            let (order_id, attempt) = target(client, &args).await?;
            let answer = client.api.$call($request { order_id, attempt }).await;
            let answer = answer.map_err(|error| Failure::from(error).advise_if_unknown(REPEAT))?;
            print(client, $response, &answer, answer.assignment.as_ref(), answer.replayed)
        }
    };
    ($(#[$doc:meta])* $name:ident, $call:ident, $request:ident, $response:literal, with reason) => {
        $(#[$doc])*
        pub async fn $name(client: &Client, args: ReasonArgs) -> Result<(), Failure> {
            let (order_id, attempt) = target(client, &args.step).await?;
            let answer = client.api.$call($request { order_id, attempt, reason: args.reason }).await;
            let answer = answer.map_err(|error| Failure::from(error).advise_if_unknown(REPEAT))?;
            print(client, $response, &answer, answer.assignment.as_ref(), answer.replayed)
        }
    };
}

verb!(
    /// Takes an offer.
    accept, accept_offer, AcceptOfferRequest, "comanda.v1.AcceptOfferResponse"
);
verb!(
    /// Refuses an offer.
    decline, decline_offer, DeclineOfferRequest, "comanda.v1.DeclineOfferResponse", with reason
);
verb!(
    /// Takes an assignment back.
    withdraw, withdraw_assignment, WithdrawAssignmentRequest, "comanda.v1.WithdrawAssignmentResponse", with reason
);
verb!(
    /// The courier is at the pickup.
    arrived, mark_arrived, MarkArrivedRequest, "comanda.v1.MarkArrivedResponse"
);
verb!(
    /// The courier has picked up what it carries.
    picked_up, mark_picked_up, MarkPickedUpRequest, "comanda.v1.MarkPickedUpResponse"
);
verb!(
    /// The job is done.
    complete, complete_assignment, CompleteAssignmentRequest, "comanda.v1.CompleteAssignmentResponse"
);

/// The order's id, and the attempt that is meant.
async fn target(client: &Client, args: &StepArgs) -> Result<(String, i32), Failure> {
    let order_id = client.order_id(args.order).await?;
    if let Some(attempt) = args.attempt {
        return Ok((order_id, attempt));
    }
    let latest = GetAssignmentRequest { order_id: order_id.clone(), ..Default::default() };
    let answer = client.api.get_assignment(latest).await?;
    Ok((order_id, answer.assignment.unwrap_or_default().attempt))
}

/// Prints the assignment as it is now.
pub fn print(
    client: &Client,
    name: &str,
    answer: &impl prost::Message,
    assignment: Option<&Assignment>,
    replayed: bool,
) -> Result<(), Failure> {
    client.print.show(name, answer, |paint| assignment.map(|it| show::whole(it, paint)).unwrap_or_default())?;
    if replayed {
        client.print.notice("that had been done before: nothing new was applied");
    }
    Ok(())
}
