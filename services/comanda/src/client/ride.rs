//! `comanda ride ..`.

use clap::{ArgGroup, Args, Subcommand, ValueHint};
use comanda_proto::v1::{CreateOrderRequest, Item};
use uuid::Uuid;

use super::{
    Client, ClientArgs,
    create::{self, CustomerArgs},
    money::{Price, parse_currency},
    trip::TripArgs,
};
use crate::failure::Failure;

/// What to do with rides.
#[derive(Args, Debug)]
pub struct RideArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ask for a ride: an order with a trip, for which a driver is found.
    Request(Box<RequestArgs>),
}

/// From where to where, when, for whom.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("trip").required(true).multiple(true).args(["from", "to"])))]
#[command(after_help = "\
Examples:
  comanda ride request --from -33.437,-70.651 --to -33.426,-70.613 --email ana@example.com
  comanda ride request --from -33.437,-70.651 --from-address 'Main St 1' --to -33.426,-70.613 --vehicle car --load 2
  comanda ride request --from -33.437,-70.651 --to -33.426,-70.613 --at 2026-11-01T08:30:00-03:00 --fare 12.50

A ride is an order: follow it with `comanda order watch`, cancel it with `comanda order cancel`, and see who drives with
`comanda assignment show`. Where the outcome is unknown (exit code 3), repeat the command with the request id that it printed.")]
struct RequestArgs {
    #[command(flatten)]
    ride: RideOrder,
    #[command(flatten)]
    trip: TripArgs,
}

/// What is ordered beside the trip.
#[derive(Args, Clone, Debug)]
struct RideOrder {
    /// What the ride costs, an exact decimal.
    #[arg(long, value_name = "PRICE", default_value = "0")]
    fare: Price,
    /// The currency of the fare (ISO 4217).
    #[arg(long, default_value = "USD", value_parser = parse_currency)]
    currency: String,
    #[command(flatten)]
    customer: CustomerArgs,
    /// What the order's one item is called.
    #[arg(long, value_name = "TEXT", default_value = "Ride", value_hint = ValueHint::Other)]
    name: String,
    /// The workflow to follow: one with a table `[dispatch]`.
    #[arg(long, default_value = "ride")]
    workflow: String,
    /// A UUID that makes it safe to repeat the command; chosen at random without it.
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// Does it.
pub async fn run(args: RideArgs) -> Result<(), Failure> {
    let client = Client::try_from(args.client)?;
    match args.verb {
        Verb::Request(args) => {
            let order = create::create(&client, request(*args)).await?;
            client.print.notice(&format!("follow it: comanda order watch {}", order.number));
            Ok(())
        }
    }
}

fn request(args: RequestArgs) -> CreateOrderRequest {
    let RideOrder { fare, currency, customer, name, workflow, request_id } = args.ride;
    let item = Item { sku: String::new(), name, quantity: 1, unit_price: Some(fare.in_currency(&currency)) };
    CreateOrderRequest {
        request_id: request_id.unwrap_or_else(Uuid::new_v4).to_string(),
        items: vec![item],
        customer: Some(customer.into()),
        workflow,
        labels: Default::default(),
        trip: args.trip.into_trip(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use comanda_kit::settings;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: RequestArgs,
    }

    fn parse(args: &[&str]) -> Result<CreateOrderRequest, clap::Error> {
        settings::try_parse_from([&["request"], args].concat()).map(|cli: Cli| request(cli.args))
    }

    #[test]
    fn two_places_are_all_that_must_be_named() {
        let ride = parse(&["--from", "-33.437,-70.651", "--to", "-33.426,-70.613"]).expect("valid");
        let trip = ride.trip.expect("a trip");
        let latitude = |place: Option<comanda_proto::v1::Place>| place?.position.map(|position| position.latitude);
        assert_eq!((latitude(trip.pickup), latitude(trip.dropoff)), (Some(-33.437), Some(-33.426)));
        assert_eq!((&*ride.workflow, ride.items.len(), trip.pickup_time), ("ride", 1, None));
        for wrong in [&[][..], &["--from", "1,2"], &["--from", "1,2", "--to", "91,0"], &["--fare", "1"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_ride_may_be_asked_for_later() {
        let trip = ["--from", "1,2", "--to", "3,4", "--at", "2026-11-01T08:30:00-03:00"];
        let ride = parse(&trip).expect("valid");
        assert_eq!(
            ride.trip.and_then(|trip| trip.pickup_time).map(|at| at.to_string()).as_deref(),
            Some("2026-11-01T11:30:00Z")
        );
    }
}
