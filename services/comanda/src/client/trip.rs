//! A trip: as flags, and as a person sees it.

use clap::{Args, ValueHint};
use comanda_proto::{
    LatLng,
    v1::{Place, Trip},
};
use prost_types::Timestamp;

use super::{
    moment::parse_moment,
    place::{parse_place, position},
    print::time,
};

/// What is to be driven, from where to where.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Trip")]
pub struct TripArgs {
    /// Where it begins, in degrees.
    #[arg(long, value_name = "LAT,LNG", value_parser = parse_place, value_hint = ValueHint::Other, requires = "to")]
    from: Option<LatLng>,
    /// Where it ends.
    #[arg(long, value_name = "LAT,LNG", value_parser = parse_place, value_hint = ValueHint::Other, requires = "from")]
    to: Option<LatLng>,
    /// How people find the beginning.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "from")]
    #[arg(value_hint = ValueHint::Other)]
    from_address: String,
    /// How people find the end.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "to")]
    #[arg(value_hint = ValueHint::Other)]
    to_address: String,
    /// When to be picked up, at most 30 days ahead: 2026-11-01T03:00:00Z or 2026-11-01T00:00:00-03:00 [default: as soon as possible].
    #[arg(long, value_name = "TIME", value_parser = parse_moment, requires = "from")]
    at: Option<Timestamp>,
    /// How much is carried, in your own unit (seats, parcels).
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, requires = "from")]
    load: i32,
    /// The kind of vehicle that it needs, a word of yours such as car; any without it.
    #[arg(long, visible_alias = "vehicle", value_name = "KIND", default_value = "", hide_default_value = true)]
    #[arg(requires = "from")]
    vehicle_kind: String,
    /// The zone whose couriers may take it, a word of yours; any without it.
    #[arg(long, default_value = "", hide_default_value = true, requires = "from")]
    zone: String,
}

impl TripArgs {
    /// As the API has it; `None` where no place was given.
    pub fn into_trip(self) -> Option<Trip> {
        let place = |position, address| Some(Place { position: Some(position), address });
        Some(Trip {
            pickup: place(self.from?, self.from_address),
            dropoff: place(self.to?, self.to_address),
            pickup_time: self.at,
            load: self.load,
            vehicle_kind: self.vehicle_kind,
            zone: self.zone,
        })
    }
}

/// Names and values, what is not there left out. The values are not escaped.
pub fn facts(trip: &Trip) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(trip.pickup.as_ref().map(|place| ("from", whole(place))));
    facts.extend(trip.dropoff.as_ref().map(|place| ("to", whole(place))));
    facts.extend(trip.pickup_time.map(|at| ("pickup", format!("at {}", time(Some(at))))));
    facts.extend(Some(("needs", needs(trip))).filter(|(_, needs)| !needs.is_empty()));
    facts
}

fn whole(place: &Place) -> String {
    let position = place.position.as_ref().map(position).unwrap_or_default();
    format!("{position}  {}", place.address).trim().to_owned()
}

/// What the courier must have.
fn needs(trip: &Trip) -> String {
    let load = (trip.load > 0).then(|| format!("room for {}", trip.load));
    let kind = Some(trip.vehicle_kind.clone()).filter(|kind| !kind.is_empty());
    let zone = (!trip.zone.is_empty()).then(|| format!("zone {}", trip.zone));
    [load, kind, zone].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use comanda_kit::settings;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: TripArgs,
    }

    fn parse(args: &[&str]) -> Result<Option<Trip>, clap::Error> {
        settings::try_parse_from([&["trip"], args].concat()).map(|cli: Cli| cli.args.into_trip())
    }

    #[test]
    fn a_trip_has_both_ends_or_is_none() {
        assert_eq!(parse(&[]).ok(), Some(None));
        for half in [&["--from", "1,2"][..], &["--to", "1,2"], &["--from-address", "a"], &["--load", "2"]] {
            assert!(parse(half).is_err(), "{half:?}");
        }
        let whole = ["--from", "-33.4,-70.6", "--to=-33.5,-70.7", "--from-address", "-Main St 1", "--vehicle", "car"];
        let trip = parse(&whole).expect("valid").expect("a trip");
        let told = facts(&trip);
        let expected = [("from", "-33.40000,-70.60000  -Main St 1"), ("to", "-33.50000,-70.70000"), ("needs", "car")];
        assert_eq!(told, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_trip_without_places_shows_what_is_left_of_it() {
        let trip = Trip { load: 2, zone: "centro".into(), ..Default::default() };
        assert_eq!(facts(&trip), [("needs", "room for 2, zone centro".to_owned())]);
    }
}
