//! `comanda courier register`.

use clap::{Args, ValueHint};
use comanda_proto::v1::{Courier, RegisterCourierRequest};
use prost_types::Timestamp;

use super::{
    super::{Client, moment::parse_moment},
    show,
};
use crate::failure::Failure;

/// A courier, whole: what is left out is emptied.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda courier register maria --name 'María Soto' --vehicle 'white Toyota Corolla' --plate BBCL-12
  comanda courier register bike-7 --name Pedro --vehicle-kind bike --zone centro --capacity 3 --max-load 20

Running it again changes what differs. A known courier keeps its status and its jobs.")]
pub struct RegisterArgs {
    /// Your key for the courier: letters, digits, '.', '-' and '_'.
    #[arg(value_name = "COURIER")]
    courier: String,
    /// What customers call the courier.
    #[arg(long, value_hint = ValueHint::Other)]
    name: String,
    /// The vehicle as people recognise it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_hint = ValueHint::Other)]
    vehicle: String,
    /// Its licence plate.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_hint = ValueHint::Other)]
    plate: String,
    /// The kind of vehicle, for trips that need one: a word of yours such as car.
    #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true)]
    vehicle_kind: String,
    /// The zone it works in, a word of yours; any without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    zone: String,
    /// How many jobs it has at once at most.
    #[arg(long, value_name = "N", default_value_t = 1)]
    capacity: i32,
    /// The most that one of its trips carries, in your own unit [default: 1000].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    max_load: i32,
    /// When its shift ends, as in 2026-11-01T20:00:00-03:00 [default: open].
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    shift_end: Option<Timestamp>,
}

/// Stores the courier and prints it.
pub async fn run(client: &Client, args: RegisterArgs) -> Result<(), Failure> {
    let answer = client.api.register_courier(RegisterCourierRequest { courier: Some(args.into()) }).await?;
    show::one(client, &answer.courier.unwrap_or_default())
}

impl From<RegisterArgs> for Courier {
    fn from(args: RegisterArgs) -> Self {
        Self {
            courier_id: args.courier,
            name: args.name,
            vehicle: args.vehicle,
            plate: args.plate,
            vehicle_kind: args.vehicle_kind,
            zone: args.zone,
            capacity: args.capacity,
            max_load: args.max_load,
            shift_end_time: args.shift_end,
        }
    }
}
