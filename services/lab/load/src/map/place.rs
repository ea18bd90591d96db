//! A place on the map.

use comanda_proto::{LatLng, v1};

/// Mean radius of the earth, in metres.
const EARTH: f64 = 6_371_008.8;

/// Where something is, in degrees (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Place {
    pub latitude: f64,
    pub longitude: f64,
}

impl Place {
    /// The way to another place over the great circle, in metres.
    pub fn metres_to(self, other: Self) -> f64 {
        let (here, there) = (self.latitude.to_radians(), other.latitude.to_radians());
        let north = ((there - here) / 2.0).sin().powi(2);
        let east = ((other.longitude - self.longitude).to_radians() / 2.0).sin().powi(2);
        2.0 * EARTH * (north + here.cos() * there.cos() * east).sqrt().min(1.0).asin()
    }

    /// The place so many metres to the north and to the east, for short ways.
    pub fn moved(self, north: f64, east: f64) -> Self {
        let latitude = self.latitude + (north / EARTH).to_degrees();
        let longitude = self.longitude + (east / (EARTH * self.latitude.to_radians().cos())).to_degrees();
        Self { latitude, longitude }
    }

    /// The place after a share (0 to 1) of the straight way to another one.
    pub fn towards(self, other: Self, share: f64) -> Self {
        let between = |from: f64, to: f64| from + (to - from) * share.clamp(0.0, 1.0);
        Self { latitude: between(self.latitude, other.latitude), longitude: between(self.longitude, other.longitude) }
    }

    /// As the API takes it.
    pub fn lat_lng(self) -> LatLng {
        LatLng { latitude: self.latitude, longitude: self.longitude }
    }

    /// As the place of a trip.
    pub fn of_trip(self, address: &str) -> v1::Place {
        v1::Place { position: Some(self.lat_lng()), address: address.into() }
    }
}

impl From<LatLng> for Place {
    fn from(position: LatLng) -> Self {
        Self { latitude: position.latitude, longitude: position.longitude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADRID: Place = Place { latitude: 40.4168, longitude: -3.7038 };

    #[test]
    fn distances_are_those_of_the_earth() {
        let barcelona = Place { latitude: 41.3874, longitude: 2.1686 };
        assert!((MADRID.metres_to(barcelona) - 505_000.0).abs() < 2_000.0, "{}", MADRID.metres_to(barcelona));
        assert_eq!(MADRID.metres_to(MADRID), 0.0);
    }

    #[test]
    fn a_way_has_the_length_that_was_asked_for() {
        let (north, east) = (MADRID.moved(300.0, 0.0), MADRID.moved(0.0, 300.0));
        for moved in [north, east] {
            assert!((MADRID.metres_to(moved) - 300.0).abs() < 0.1, "{}", MADRID.metres_to(moved));
        }
        assert!((MADRID.metres_to(MADRID.towards(north, 0.5)) - 150.0).abs() < 0.1);
        assert_eq!(MADRID.towards(north, 2.0), north);
    }
}
