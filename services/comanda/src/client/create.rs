//! `comanda order create`.

use std::str::FromStr;

use clap::{ArgGroup, Args, ValueHint};
use comanda_proto::v1::{CreateOrderRequest, CreateOrderResponse, Customer, Item, Order};
use uuid::Uuid;

use super::{
    Client,
    money::{Price, parse_currency},
    show,
    trip::TripArgs,
};
use crate::failure::Failure;

/// What to order, for whom.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["product", "item"])))]
#[command(after_help = "\
Examples:
  comanda order create --product 'Pizza Margherita' --price 12.50 --email ana@example.com
  comanda order create --item 'Completo=2500*2' --item 'Bebida=1200' --currency CLP --customer ana
  comanda order create --product Sushi --price 8 --label table=4 --request-id $(uuidgen)
  comanda order create --product Pizza --price 8 --workflow courier-delivery --from -33.437,-70.651 --to -33.426,-70.613

Where the outcome is unknown (exit code 3), repeat the command with the request id that it printed: the order is \
created once, however often it is repeated within 7 days.")]
pub struct CreateArgs {
    /// The product's name.
    #[arg(long, value_name = "NAME", requires = "price", value_hint = ValueHint::Other)]
    product: Option<String>,
    /// The price of one, an exact decimal.
    #[arg(long, requires = "product")]
    price: Option<Price>,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "product")]
    quantity: i32,
    /// One line of the order; may be repeated, also beside --product.
    #[arg(long, value_name = "NAME=PRICE[*QUANTITY]", value_hint = ValueHint::Other)]
    item: Vec<Line>,
    /// The currency of all prices (ISO 4217).
    #[arg(long, default_value = "USD", value_parser = parse_currency)]
    currency: String,
    #[command(flatten)]
    customer: CustomerArgs,
    /// The workflow to follow; the server's default without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    workflow: String,
    /// A label of your own; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_hint = ValueHint::Other, value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// A UUID that makes it safe to repeat the command; chosen at random without it.
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    // Last: its heading applies to every flag after it.
    #[command(flatten)]
    trip: TripArgs,
}

/// The customer.
#[derive(Args, Clone, Debug)]
pub struct CustomerArgs {
    /// Your key for the customer.
    #[arg(long, value_name = "ID", default_value = super::DEFAULT_CUSTOMER)]
    #[arg(value_hint = ValueHint::Other)]
    customer: String,
    /// The customer's name.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    #[arg(value_hint = ValueHint::Other)]
    customer_name: String,
    /// Where mails go; no mails without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    email: String,
    /// The language of the mails: es, en, es-MX; the server's default without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    locale: String,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    name: String,
    price: Price,
    quantity: i32,
}

/// Creates the order and prints it.
pub async fn run(client: &Client, args: CreateArgs) -> Result<(), Failure> {
    create(client, request(args)).await.map(|_| ())
}

/// Creates an order by a request with a request id, and prints it.
pub async fn create(client: &Client, message: CreateOrderRequest) -> Result<Order, Failure> {
    let advice = format!("repeat it with --request-id {}: it cannot create a second order", message.request_id);
    let answer =
        client.api.create_order(message).await.map_err(|error| Failure::from(error).advise_if_unknown(&advice))?;
    print(client, &answer)?;
    Ok(answer.order.unwrap_or_default())
}

fn print(client: &Client, answer: &CreateOrderResponse) -> Result<(), Failure> {
    let order = answer.order.clone().unwrap_or_default();
    client.print.show("comanda.v1.CreateOrderResponse", answer, |paint| show::whole(&order, paint))?;
    if answer.replayed {
        client.print.notice("this request id had created the order before: nothing new was created");
    }
    Ok(())
}

fn request(args: CreateArgs) -> CreateOrderRequest {
    let lines = args.first_line().into_iter().chain(args.item);
    CreateOrderRequest {
        request_id: args.request_id.unwrap_or_else(Uuid::new_v4).to_string(),
        items: lines.map(|line| line.into_item(&args.currency)).collect(),
        customer: Some(args.customer.into()),
        workflow: args.workflow,
        labels: args.label.into_iter().collect(),
        trip: args.trip.into_trip(),
    }
}

impl CreateArgs {
    fn first_line(&self) -> Option<Line> {
        Some(Line { name: self.product.clone()?, price: self.price?, quantity: self.quantity })
    }
}

impl From<CustomerArgs> for Customer {
    fn from(args: CustomerArgs) -> Self {
        Self { customer_id: args.customer, name: args.customer_name, email: args.email, locale: args.locale }
    }
}

impl Line {
    fn into_item(self, currency: &str) -> Item {
        let unit_price = Some(self.price.in_currency(currency));
        Item { sku: String::new(), name: self.name, quantity: self.quantity, unit_price }
    }
}

impl FromStr for Line {
    type Err = String;

    /// The last `=` divides: names may hold one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, amount) = text.rsplit_once('=').ok_or_else(|| format!("{text:?} is not NAME=PRICE[*QUANTITY]"))?;
        let (price, quantity) = amount.split_once('*').unwrap_or((amount, "1"));
        let quantity = quantity.parse().map_err(|_| format!("{quantity:?} is not a quantity"))?;
        Ok(Self { name: name.to_owned(), price: price.parse()?, quantity })
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use comanda_kit::settings;

    use tonic::Status;

    use super::{
        super::fake::{Fake, Script, serve},
        *,
    };
    use crate::failure::Exit;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn parse(args: &[&str]) -> Result<CreateOrderRequest, clap::Error> {
        settings::try_parse_from([&["create"], args].concat()).map(|cli: Cli| request(cli.args))
    }

    #[test]
    fn products_and_items_make_one_order() {
        let request = parse(&["--product", "Taxi", "--price", "8", "--item", "a=b=1.5*3"]).expect("valid");
        let items: Vec<_> = request.items.iter().map(|item| (item.name.as_str(), item.quantity)).collect();
        assert_eq!(items, [("Taxi", 1), ("a=b", 3)]);
        assert_eq!(request.items[1].unit_price, "1.5".parse().ok().map(|price: Price| price.in_currency("USD")));
        assert!(!request.request_id.is_empty());
    }

    #[tokio::test]
    async fn an_unknown_outcome_names_the_request_id_that_was_sent() {
        // More of them than the time of a call allows for.
        let restart = std::iter::repeat_n(Err(Status::unavailable("restart")), 1000);
        let fake = Fake { create: Script::new(restart), ..Fake::default() };
        let (fake, client) = serve(fake, &["--timeout-ms", "400"]).await;
        let cli = Cli::parse_from(["create", "--item", "Taxi=8"]);
        let failure = run(&client, cli.args).await.expect_err("unavailable");
        let request_id = fake.create.asked().remove(0).request_id;
        assert_eq!(failure.exit, Exit::Unknown);
        assert!(failure.message.contains(&format!("--request-id {request_id}")), "{}", failure.message);
    }

    #[test]
    fn texts_may_begin_with_a_hyphen() {
        let order = ["--product", "-Sin sal", "--price", "8", "--item", "-x=1", "--label", "-k=-v"];
        let customer = ["--customer", "-7", "--customer-name", "-Ana"];
        let request = parse(&[&order[..], &customer].concat()).expect("valid");
        assert_eq!(
            (&*request.items[0].name, &*request.items[1].name, &*request.labels["-k"]),
            ("-Sin sal", "-x", "-v")
        );
        assert_eq!(request.customer.map(|customer| customer.name).as_deref(), Some("-Ana"));
        let error = parse(&["--product", "--price", "8"]).expect_err("no product").to_string();
        assert!(error.contains("a value is required for '--product <NAME>'"), "{error}");
    }

    #[test]
    fn the_server_chooses_the_locale_where_none_is_given() {
        let customer = parse(&["--item", "a=1"]).expect("valid").customer.unwrap_or_default();
        assert_eq!(customer.locale, "");
    }

    #[test]
    fn an_order_of_nothing_or_without_a_price_is_wrong_usage() {
        for args in [&[][..], &["--product", "a"], &["--price", "1"], &["--item", "a"], &["--item", "a=1*x"]] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
