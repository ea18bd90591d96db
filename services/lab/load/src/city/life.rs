//! What everybody in a city shares.

use rand::{SeedableRng, rngs::StdRng};

use super::{book::Book, link::Links, manners::Manners};
use crate::map::Demand;

/// The city.
#[derive(Debug)]
pub(super) struct Life {
    pub links: Links,
    pub book: Book,
    pub demand: Demand,
    pub manners: Manners,
    /// What the ids of couriers and customers begin with.
    pub names: String,
    pub workflow: String,
    /// Of couriers, in metres a second.
    pub speed: f64,
    pub seed: u64,
}

impl Life {
    /// The chance of the `n`-th of a kind of people: the same in each run of a seed, whatever else happens.
    pub fn chance(&self, kind: u64, n: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (kind << 60) ^ n)
    }
}
