//! `comanda courier ..`.

mod list;
mod register;
mod show;
mod watch;

use clap::{Args, Subcommand};
use comanda_proto::{
    LatLng,
    v1::{CourierStatus, Location, ReportLocationRequest, SetCourierStatusRequest, WatchCourierRequest},
};
use prost_types::Timestamp;

use self::{list::ListArgs, register::RegisterArgs};
use super::{Client, ClientArgs, moment::parse_moment, place::parse_place};
use crate::failure::Failure;

/// What to do with couriers.
#[derive(Args, Debug)]
#[command(after_help = "\
A courier that is to get jobs is registered, is available, and says where it is at least every two minutes.

Examples:
  comanda courier register maria --name 'María Soto' --vehicle 'white Toyota Corolla' --plate BBCL-12 --vehicle-kind car
  comanda courier status maria available
  comanda courier locate maria -33.437,-70.651
  comanda courier watch maria")]
pub struct CourierArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Store a courier, or replace what is stored; a new one is offline.
    Register(RegisterArgs),
    /// Say whether a courier takes jobs: available, paused or offline.
    Status(StatusArgs),
    /// Say where a courier is.
    Locate(LocateArgs),
    /// List couriers, where they are, and how many jobs they have.
    List(ListArgs),
    /// Follow what a courier has to do, until Ctrl-C.
    Watch {
        /// The courier.
        #[arg(value_name = "COURIER")]
        courier: String,
    },
}

/// `comanda courier status`.
#[derive(Args, Debug)]
struct StatusArgs {
    /// The courier.
    #[arg(value_name = "COURIER")]
    courier: String,
    /// available, paused (takes nothing new) or offline.
    #[arg(value_parser = parse_status)]
    status: CourierStatus,
    /// When its shift ends, as in 2026-11-01T20:00:00-03:00; without it, what is stored stays.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    shift_end: Option<Timestamp>,
}

/// `comanda courier locate`.
#[derive(Args, Debug)]
struct LocateArgs {
    /// The courier.
    #[arg(value_name = "COURIER")]
    courier: String,
    /// Where it is now, in degrees: -33.437,-70.651.
    #[arg(value_name = "LAT,LNG", value_parser = parse_place, allow_hyphen_values = true)]
    place: LatLng,
    /// How far off that may be, in metres; more than 200 is not taken.
    #[arg(long, value_name = "METRES", default_value_t = 0.0, hide_default_value = true)]
    accuracy: f32,
}

/// Does it.
pub async fn run(args: CourierArgs) -> Result<(), Failure> {
    let client = Client::try_from(args.client)?;
    match args.verb {
        Verb::Register(args) => register::run(&client, args).await,
        Verb::Status(args) => set_status(&client, args).await,
        Verb::Locate(args) => locate(&client, args).await,
        Verb::List(args) => list::run(&client, args).await,
        Verb::Watch { courier } => watch::run(&client, WatchCourierRequest { courier_id: courier }).await,
    }
}

async fn set_status(client: &Client, args: StatusArgs) -> Result<(), Failure> {
    let StatusArgs { courier, status, shift_end } = args;
    let request = SetCourierStatusRequest { courier_id: courier, status: status.into(), shift_end_time: shift_end };
    let answer = client.api.set_courier_status(request).await?;
    show::one(client, &answer.courier.unwrap_or_default())
}

async fn locate(client: &Client, args: LocateArgs) -> Result<(), Failure> {
    let location = Location { position: Some(args.place), record_time: None, accuracy_meters: args.accuracy };
    let request = ReportLocationRequest { courier_id: args.courier, location: Some(location) };
    let answer = client.api.report_location(request).await?;
    client.print.show("comanda.v1.ReportLocationResponse", &answer, |_| taken(answer.taken).into())?;
    if answer.taken {
        return Ok(());
    }
    Err(Failure::refused(
        "the position was dropped: it is no newer than the last one, too far from it (more than 60 m/s), less accurate than 200 m, or the \
         second within a second",
    ))
}

fn taken(taken: bool) -> &'static str {
    if taken { "taken" } else { "dropped" }
}

/// One of three words, in any case.
fn parse_status(text: &str) -> Result<CourierStatus, String> {
    CourierStatus::from_str_name(&format!("COURIER_STATUS_{}", text.to_uppercase()))
        .filter(|status| *status != CourierStatus::Unspecified)
        .ok_or_else(|| format!("{text:?} is none of available, paused, offline"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use comanda_kit::settings;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        courier: CourierArgs,
    }

    fn parse(line: &[&str]) -> Result<Verb, clap::Error> {
        settings::try_parse_from([&["courier"], line].concat()).map(|cli: Cli| cli.courier.verb)
    }

    #[test]
    fn a_status_is_one_of_three_words() {
        assert_eq!(parse_status("Available"), Ok(CourierStatus::Available));
        for text in ["unspecified", "busy", ""] {
            assert!(parse_status(text).expect_err(text).contains("available, paused, offline"));
        }
        let line = ["status", "maria", "paused", "--shift-end", "2026-11-01T20:00:00-03:00"];
        let Ok(Verb::Status(args)) = parse(&line) else { panic!("not parsed") };
        assert_eq!((args.status, args.shift_end.map(|end| end.seconds)), (CourierStatus::Paused, Some(1_793_574_000)));
    }

    #[test]
    fn a_place_in_the_south_is_no_flag() {
        for line in [
            &["locate", "maria", "-33.437,-70.651"][..],
            &["locate", "maria", "--json", "-33.437,-70.651"],
            &["locate", "maria", "-33.437,-70.651", "--json", "--accuracy", "12.5"],
        ] {
            let Ok(Verb::Locate(args)) = parse(line) else { panic!("{line:?}: {:?}", parse(line)) };
            assert_eq!(args.place, LatLng { latitude: -33.437, longitude: -70.651 });
        }
        assert!(parse(&["locate", "maria"]).is_err());
        assert!(parse(&["locate", "maria", "-91,0"]).is_err());
    }
}
