//! `comanda order ..`.

use clap::{Args, Subcommand};
use comanda_client::Code;
use comanda_proto::v1::{EraseCustomerRequest, GetAssignmentRequest, ListTransitionsRequest, Order};
use serde_json::json;

use super::{
    Client, ClientArgs, assignment,
    create::{self, CreateArgs},
    event,
    import::{self, ImportArgs},
    key::OrderKey,
    list::{self, ListArgs},
    show, status,
    step::{self, AdvanceArgs, StepArgs},
    watch::{self, WatchArgs},
};
use crate::failure::Failure;

/// The most that the server puts on a page.
const MAX_PAGE_SIZE: i32 = 500;

/// What to do with orders.
#[derive(Args, Debug)]
pub struct OrderArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create an order.
    Create(Box<CreateArgs>),
    /// Create an order for each row of a CSV file; running it again creates nothing twice.
    Import(ImportArgs),
    /// Show orders as they are now.
    #[command(visible_alias = "show")]
    Get {
        /// Their ids or numbers.
        #[arg(value_name = "ID|NUMBER", required = true)]
        orders: Vec<OrderKey>,
    },
    /// List orders, newest first.
    List(ListArgs),
    /// Follow an order, or all, as they move.
    Watch(WatchArgs),
    /// Show the history of an order.
    Transitions {
        /// Its id or number.
        #[arg(value_name = "ID|NUMBER")]
        order: OrderKey,
    },
    /// Move an order one step ahead, before its timer would.
    Advance(AdvanceArgs),
    /// Withdraw an order, where its workflow allows it.
    Cancel(StepArgs),
    /// Refuse an order, where its workflow allows it.
    Reject(StepArgs),
    /// Erase who a customer is: name, mail address and locale, in all of its orders.
    #[command(after_help = "\
The orders stay, with what was ordered. It can be repeated, and cannot be undone.

Example:
  comanda order erase-customer ana --yes")]
    EraseCustomer {
        /// Your key for the customer.
        #[arg(value_name = "ID")]
        customer: String,
        /// Confirms that it cannot be undone.
        #[arg(long, required = true)]
        yes: bool,
    },
}

/// Does it.
pub async fn run(args: OrderArgs) -> Result<(), Failure> {
    let client = Client::try_from(args.client)?;
    match args.verb {
        Verb::Create(args) => create::run(&client, *args).await,
        Verb::Import(args) => import::run(&client, args).await,
        Verb::Get { orders } => get(&client, &orders).await,
        Verb::List(args) => list::run(&client, args).await,
        Verb::Watch(args) => watch::run(&client, args).await,
        Verb::Transitions { order } => transitions(&client, order).await,
        Verb::Advance(args) => step::advance(&client, args).await,
        Verb::Cancel(args) => step::cancel(&client, args).await,
        Verb::Reject(args) => step::reject(&client, args).await,
        Verb::EraseCustomer { customer, .. } => erase_customer(&client, customer).await,
    }
}

async fn get(client: &Client, keys: &[OrderKey]) -> Result<(), Failure> {
    for key in keys {
        let order = client.order(*key).await?;
        client.print.show("comanda.v1.Order", &order, |paint| show::whole(&order, paint))?;
        if order.trip.is_some() && client.print.is_for_people() {
            courier(client, &order).await?;
        }
    }
    Ok(())
}

/// Tells a person who drives. An order without a courier shows nothing, and so does a server without dispatch.
async fn courier(client: &Client, order: &Order) -> Result<(), Failure> {
    let latest = GetAssignmentRequest { order_id: order.order_id.clone(), ..Default::default() };
    match client.api.get_assignment(latest).await {
        Ok(answer) => {
            let assignment = answer.assignment.unwrap_or_default();
            Ok(client.print.heading(|_| show::fact("courier", &assignment::show::in_a_line(&assignment)))?)
        }
        Err(error) if matches!(error.code, Code::NotFound | Code::Unimplemented) => Ok(()),
        Err(error) => {
            client.print.notice(&format!("who drives is not known: {}", status::lines(&error).join("; ")));
            Ok(())
        }
    }
}

async fn erase_customer(client: &Client, customer_id: String) -> Result<(), Failure> {
    let (mut erased, mut page_token) = (0, String::new());
    loop {
        let request = EraseCustomerRequest { customer_id: customer_id.clone(), page_token };
        let page = client.api.erase_customer(request).await?;
        erased += page.erased_orders;
        if page.next_page_token.is_empty() {
            return Ok(client.print.value(&json!({"erasedOrders": erased}), &format!("erased in {erased} orders"))?);
        }
        page_token = page.next_page_token;
    }
}

async fn transitions(client: &Client, key: OrderKey) -> Result<(), Failure> {
    let order_id = client.order_id(key).await?;
    let mut page_token = String::new();
    loop {
        let request = ListTransitionsRequest { order_id: order_id.clone(), page_size: MAX_PAGE_SIZE, page_token };
        let page = client.api.list_transitions(request).await?;
        for step in &page.transitions {
            client.print.show("comanda.v1.OrderTransition", step, |paint| event::transition(step, paint))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}
