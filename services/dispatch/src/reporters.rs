//! The couriers that lately reported positions to this replica: known to exist, and what the filter remembers of each.
//!
//! Memory is bounded: half of the bound is one generation. When the younger one is full the older one is forgotten, so couriers that keep
//! reporting stay.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use time::OffsetDateTime;

use crate::{
    filter::{Dropped, Filter, Reported},
    place::CourierKey,
};

/// How many couriers are remembered: about 40 MB.
const MOST: usize = 200_000;

/// Couriers and their filters.
#[derive(Debug)]
pub struct Reporters {
    generations: Mutex<Generations>,
}

#[derive(Debug)]
struct Generations {
    half: usize,
    young: HashMap<CourierKey, Filter>,
    old: HashMap<CourierKey, Filter>,
}

impl Default for Reporters {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl Reporters {
    fn new(most: usize) -> Self {
        let generations = Generations { half: most / 2, young: HashMap::new(), old: HashMap::new() };
        Self { generations: Mutex::new(generations) }
    }

    /// Whether the courier is known to exist.
    pub fn knows(&self, courier: &CourierKey) -> bool {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.contains_key(courier) || generations.old.contains_key(courier)
    }

    /// Takes a position of a courier that exists, if it is of use.
    pub fn take(&self, courier: &CourierKey, reported: Reported, now: OffsetDateTime) -> Result<(), Dropped> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner).filter(courier).take(reported, now)
    }
}

impl Generations {
    fn filter(&mut self, courier: &CourierKey) -> &mut Filter {
        if !self.young.contains_key(courier) {
            let filter = self.old.remove(courier).unwrap_or_default();
            if self.young.len() >= self.half {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(courier.clone(), filter);
        }
        self.young.entry(courier.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Point;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);

    fn report(reporters: &Reporters, number: usize) -> Result<(), Dropped> {
        let point = Point::new(40.0, -3.7).expect("valid");
        let courier = CourierKey::new("acme", &number.to_string());
        reporters.take(&courier, Reported { point, time: NOON, accuracy_metres: 0.0 }, NOON)
    }

    #[test]
    fn who_reports_is_remembered_and_the_others_are_forgotten() {
        let reporters = Reporters::new(100);
        for number in 0..10_000 {
            assert_eq!(report(&reporters, number), Ok(()));
            if number > 0 {
                assert_eq!(report(&reporters, 0), Err(Dropped::NotNewer), "it was forgotten after {number}");
            }
        }
        assert!(reporters.knows(&CourierKey::new("acme", "9999")) && !reporters.knows(&CourierKey::new("acme", "17")));
        let generations = reporters.generations.lock().expect("no holder panics");
        assert!(generations.young.len() + generations.old.len() <= 100);
    }
}
