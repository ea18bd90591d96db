//! Where a courier is, as watchers may know it. Pure.

use comanda_kit::kafka::Record;
use comanda_proto::{LatLng, events::CourierLocation};
use prost::Message;
use prost_types::Timestamp;

/// Positions are rounded to this part of a degree, 11 m: where somebody waits or goes, and not at which door.
const PARTS_OF_A_DEGREE: f64 = 10_000.0;

/// A courier of a tenant: tenant and courier_id.
pub type CourierKey = (String, String);

/// A place and when the courier was there.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Rounded.
    pub position: LatLng,
    /// By the clock of the courier's device.
    pub time: Timestamp,
}

/// Reads a record of the topic of locations; `None` for one that is no place of the courier that its key names.
pub fn decode(record: &Record) -> Option<(CourierKey, Place)> {
    let location = CourierLocation::decode(&*record.payload).ok()?;
    let (position, time) = (location.position?, location.record_time?);
    let is_valid = position.latitude.abs() <= 90.0 && position.longitude.abs() <= 180.0;
    let is_its_own = !location.tenant.is_empty() && record.key == location.courier_id.as_bytes();
    let place = Place { position: rounded(&position), time };
    (is_valid && is_its_own).then_some(((location.tenant, location.courier_id), place))
}

/// Takes a place in unless it is older than the one that is held; tells whether the courier has moved.
pub fn take(held: &mut Option<Place>, place: Place) -> bool {
    let at = |place: &Place| (place.time.seconds, place.time.nanos);
    if held.as_ref().is_some_and(|held| at(held) >= at(&place)) {
        return false;
    }
    let has_moved = held.as_ref().is_none_or(|held| held.position != place.position);
    *held = Some(place);
    has_moved
}

fn rounded(position: &LatLng) -> LatLng {
    let round = |degrees: f64| (degrees * PARTS_OF_A_DEGREE).round() / PARTS_OF_A_DEGREE;
    LatLng { latitude: round(position.latitude), longitude: round(position.longitude) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn location(latitude: f64, longitude: f64) -> CourierLocation {
        CourierLocation {
            courier_id: "luz".into(),
            tenant: "default".into(),
            position: Some(LatLng { latitude, longitude }),
            record_time: Some(Timestamp { seconds: 7, nanos: 0 }),
            accuracy_meters: 5.0,
        }
    }

    fn record(key: &str, location: &CourierLocation) -> Record {
        Record { topic: "l".into(), key: key.into(), payload: location.encode_to_vec(), ..Record::default() }
    }

    fn place(latitude: f64, seconds: i64) -> Place {
        Place { position: LatLng { latitude, longitude: 0.0 }, time: Timestamp { seconds, nanos: 0 } }
    }

    #[test]
    fn a_record_that_is_no_place_of_its_courier_tells_nothing() {
        assert!(decode(&record("luz", &location(-33.45, -70.66))).is_some());
        for (key, wrong) in [
            ("eva", location(0.0, 0.0)),
            ("luz", location(90.5, 0.0)),
            ("luz", location(0.0, 180.5)),
            ("luz", location(f64::NAN, 0.0)),
            ("luz", location(0.0, f64::INFINITY)),
            ("luz", CourierLocation { tenant: String::new(), ..location(0.0, 0.0) }),
            ("luz", CourierLocation { position: None, ..location(0.0, 0.0) }),
            ("luz", CourierLocation { record_time: None, ..location(0.0, 0.0) }),
        ] {
            assert!(decode(&record(key, &wrong)).is_none(), "{key} {wrong:?}");
        }
        assert!(decode(&Record { payload: vec![0xff], ..record("luz", &location(0.0, 0.0)) }).is_none());
    }

    #[test]
    fn only_what_is_newer_counts_and_only_another_place_is_news() {
        let mut held = None;
        assert!(take(&mut held, place(1.0, 10)));
        assert!(!take(&mut held, place(2.0, 10)), "a repeated record");
        assert!(!take(&mut held, place(2.0, 9)), "an older one");
        assert_eq!(held, Some(place(1.0, 10)));
        assert!(!take(&mut held, place(1.0, 11)), "it stands still");
        assert!(take(&mut held, place(1.5, 12)));
        assert_eq!(held, Some(place(1.5, 12)));
    }

    proptest! {
        #[test]
        fn a_place_is_the_nearest_one_with_four_decimals(latitude in -90.0_f64..=90.0, longitude in -180.0_f64..=180.0) {
            let (key, place) = decode(&record("luz", &location(latitude, longitude))).expect("a place");
            prop_assert_eq!(key, ("default".to_owned(), "luz".to_owned()));
            for (exact, shown) in [(latitude, place.position.latitude), (longitude, place.position.longitude)] {
                prop_assert!((exact - shown).abs() <= 0.5 / PARTS_OF_A_DEGREE + 1e-9);
                let text = shown.to_string();
                prop_assert!(text.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 4), "{}", text);
            }
        }
    }
}
