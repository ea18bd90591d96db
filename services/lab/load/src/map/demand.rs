//! Demand with the shape of a city's: some places are much asked for, others rarely.

use std::path::Path;

use anyhow::Result;
use rand::{Rng, RngExt, seq::IndexedRandom};

use super::{Place, trips};

/// Parts of the city: (metres to the north and to the east of the centre, spread, weight), as shares of the radius. Old town, station,
/// university, business park, airport; and the whole disc.
const PARTS: [(f64, f64, f64, f64); 6] = [
    (0.0, 0.0, 0.15, 40.0),
    (-0.25, 0.2, 0.06, 18.0),
    (0.35, -0.4, 0.10, 12.0),
    (0.45, 0.4, 0.08, 10.0),
    (-0.2, 0.85, 0.04, 6.0),
    (0.0, 0.0, 0.45, 14.0),
];
/// Nobody is driven over less than this share of the radius.
const SHORTEST: f64 = 0.1;
/// Tries to find a longer way, before a short one will do.
const TRIES: usize = 20;

/// From where to where people want to be driven.
#[derive(Clone, Debug)]
pub enum Demand {
    /// A made-up city.
    City {
        /// Its middle.
        centre: Place,
        /// How far it reaches, in metres.
        radius: f64,
    },
    /// Trips that were made, again and again in their order.
    Trips(Vec<(Place, Place)>),
}

impl Demand {
    /// A made-up city of this radius in metres, or the trips of a file.
    pub fn new(radius: f64, file: Option<&Path>) -> Result<Self> {
        let centre = Place { latitude: 40.4168, longitude: -3.7038 };
        match file {
            Some(file) => Ok(Self::Trips(trips::read(file)?)),
            None => Ok(Self::City { centre, radius }),
        }
    }

    /// The same shape, made so small or large that nine of ten trips begin within `radius` metres of the middle.
    pub fn within(self, radius: f64) -> Self {
        match self {
            Self::City { centre, .. } => Self::City { centre, radius },
            Self::Trips(trips) => Self::Trips(trips::scaled(&trips, radius)),
        }
    }

    /// The `n`-th trip.
    pub fn trip(&self, n: u64, random: &mut impl Rng) -> (Place, Place) {
        match self {
            Self::City { centre, radius } => trip(*centre, *radius, random),
            Self::Trips(trips) => trips[n as usize % trips.len()],
        }
    }

    /// Where somebody was driven to, and waits for the next one.
    pub fn end(&self, random: &mut impl Rng) -> Place {
        match self {
            Self::City { centre, radius } => somewhere(*centre, *radius, random),
            Self::Trips(trips) => trips.choose(random).expect("a file has trips").1,
        }
    }
}

fn trip(centre: Place, radius: f64, random: &mut impl Rng) -> (Place, Place) {
    let pickup = somewhere(centre, radius, random);
    let mut ends = std::iter::repeat_with(|| somewhere(centre, radius, random)).take(TRIES);
    let last = centre.moved(radius, 0.0);
    (pickup, ends.find(|end| pickup.metres_to(*end) > SHORTEST * radius).unwrap_or(last))
}

fn somewhere(centre: Place, radius: f64, random: &mut impl Rng) -> Place {
    let (north, east, spread, _) =
        PARTS.choose_weighted(random, |part| part.3).expect("weights that are valid").to_owned();
    let (more_north, more_east) = bell(random);
    centre.moved(radius * (north + spread * more_north), radius * (east + spread * more_east))
}

/// Two numbers of the standard normal distribution (Box and Muller), none farther out than 3.
fn bell(random: &mut impl Rng) -> (f64, f64) {
    let length = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt().min(3.0);
    let angle = random.random_range(0.0..std::f64::consts::TAU);
    (length * angle.cos(), length * angle.sin())
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_city_is_dense_in_the_middle_and_nobody_is_driven_round_the_corner() {
        let mut random = StdRng::seed_from_u64(1);
        let city = Demand::new(5000.0, None).unwrap();
        let Demand::City { centre, .. } = city else { panic!("no file was given") };
        let trips: Vec<_> = (0..2000).map(|n| city.trip(n, &mut random)).collect();
        let within = |metres: f64| trips.iter().filter(|(from, _)| centre.metres_to(*from) < metres).count();
        // A disc of a quarter of the radius has a sixteenth of the area, and much more than that of the demand.
        assert!(within(1250.0) > 600, "{}", within(1250.0));
        assert!(within(7500.0) > 1990);
        assert!(trips.iter().all(|(from, to)| from.metres_to(*to) > 500.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_trips() {
        let city = Demand::new(1000.0, None).unwrap();
        let of = |seed| city.trip(0, &mut StdRng::seed_from_u64(seed));
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }
}
