//! Where things are, and whose couriers are whose. Coordinates never reach a log: nothing here shows them when it is printed.

use std::{fmt, sync::Arc};

use h3o::LatLng;

/// A courier: whose it is, and the business's key for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CourierKey {
    /// Whose courier it is.
    pub tenant: Arc<str>,
    /// Unique within the tenant.
    pub courier_id: Arc<str>,
}

impl CourierKey {
    /// A courier of a tenant.
    pub fn new(tenant: &str, courier_id: &str) -> Self {
        Self { tenant: tenant.into(), courier_id: courier_id.into() }
    }
}

/// A place on the map: degrees, WGS 84.
#[derive(Clone, Copy, PartialEq)]
pub struct Point {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

impl Point {
    /// A place; `None` where the degrees are out of range or no numbers.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        is_on_earth.then_some(Self { latitude, longitude })
    }

    /// How far it is to another place over the great circle, in metres.
    pub fn metres_to(self, other: Self) -> f64 {
        match (LatLng::try_from(self), LatLng::try_from(other)) {
            (Ok(from), Ok(to)) => from.distance_m(to),
            _ => f64::INFINITY,
        }
    }
}

impl TryFrom<Point> for LatLng {
    type Error = h3o::error::InvalidLatLng;

    fn try_from(point: Point) -> Result<Self, Self::Error> {
        Self::new(point.latitude, point.longitude)
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Point(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_between_two_places_is_known_and_the_places_are_not_shown() {
        let (madrid, barcelona) = (Point::new(40.4168, -3.7038), Point::new(41.3874, 2.1686));
        let metres = madrid.expect("valid").metres_to(barcelona.expect("valid"));
        assert!((504_000.0..507_000.0).contains(&metres), "{metres}");
        assert_eq!(format!("{:?}", madrid.expect("valid")), "Point(..)");
        assert!(Point::new(90.1, 0.0).is_none() && Point::new(0.0, f64::NAN).is_none());
    }
}
