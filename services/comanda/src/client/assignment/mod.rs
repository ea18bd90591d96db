//! `comanda assignment ..`.

mod list;
pub mod show;
mod step;

use clap::{Args, Subcommand};
use comanda_proto::v1::{AssignOrderRequest, GetAssignmentRequest, OrderView};
use uuid::Uuid;

use self::{
    list::ListArgs,
    step::{ReasonArgs, StepArgs},
};
use super::{Client, ClientArgs, key::OrderKey};
use crate::failure::Failure;

/// What to do with assignments.
#[derive(Args, Debug)]
#[command(after_help = "\
An assignment is an order in the hands of a courier: offered, active, or ended. Dispatch makes them by itself; `assign` does it by hand.

Examples:
  comanda assignment list --open
  comanda assignment show 1042
  comanda assignment arrived 1042
  comanda assignment picked-up 1042
  comanda assignment complete 1042
  comanda assignment withdraw 1042 --reason 'a flat tyre'
  comanda assignment assign 1042 maria")]
pub struct AssignmentArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show who has or had an order, with the times of each step.
    Show(ShowArgs),
    /// List assignments, newest first.
    List(ListArgs),
    /// Assign an order to a courier by hand, at any distance.
    Assign(AssignArgs),
    /// Take an order back from its courier before the pickup: it waits for another one.
    Withdraw(ReasonArgs),
    /// Accept an offer, for its courier.
    Accept(StepArgs),
    /// Decline an offer: the order is not offered to this courier again.
    Decline(ReasonArgs),
    /// Say that the courier is at the pickup.
    Arrived(StepArgs),
    /// Say that the courier has picked up what it carries.
    PickedUp(StepArgs),
    /// Say that the job is done.
    Complete(StepArgs),
}

/// `comanda assignment show`.
#[derive(Args, Debug)]
struct ShowArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER")]
    order: OrderKey,
    /// Which of its assignments, from 1; without it, the latest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    attempt: Option<i32>,
    /// Also the places of the trip and what is carried.
    #[arg(long)]
    full: bool,
}

/// `comanda assignment assign`.
#[derive(Args, Debug)]
struct AssignArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER")]
    order: OrderKey,
    /// The courier.
    #[arg(value_name = "COURIER")]
    courier: String,
    /// A UUID that makes it safe to repeat the command; chosen at random without it.
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// Does it.
pub async fn run(args: AssignmentArgs) -> Result<(), Failure> {
    let client = Client::try_from(args.client)?;
    match args.verb {
        Verb::Show(args) => show(&client, args).await,
        Verb::List(args) => list::run(&client, args).await,
        Verb::Assign(args) => assign(&client, args).await,
        Verb::Withdraw(args) => step::withdraw(&client, args).await,
        Verb::Accept(args) => step::accept(&client, args).await,
        Verb::Decline(args) => step::decline(&client, args).await,
        Verb::Arrived(args) => step::arrived(&client, args).await,
        Verb::PickedUp(args) => step::picked_up(&client, args).await,
        Verb::Complete(args) => step::complete(&client, args).await,
    }
}

async fn show(client: &Client, args: ShowArgs) -> Result<(), Failure> {
    let view = if args.full { OrderView::Full } else { OrderView::Basic };
    let (order_id, attempt) = (client.order_id(args.order).await?, args.attempt.unwrap_or_default());
    let answer = client.api.get_assignment(GetAssignmentRequest { order_id, attempt, view: view.into() }).await?;
    let assignment = answer.assignment.unwrap_or_default();
    Ok(client.print.show(show::NAME, &assignment, |paint| show::whole(&assignment, paint))?)
}

async fn assign(client: &Client, args: AssignArgs) -> Result<(), Failure> {
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let advice = format!("repeat it with --request-id {request_id}: it is applied once");
    let request =
        AssignOrderRequest { order_id: client.order_id(args.order).await?, courier_id: args.courier, request_id };
    let answer = client.api.assign_order(request).await;
    let answer = answer.map_err(|error| Failure::from(error).advise_if_unknown(&advice))?;
    step::print(client, "comanda.v1.AssignOrderResponse", &answer, answer.assignment.as_ref(), answer.replayed)
}
