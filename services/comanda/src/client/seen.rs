//! The versions that were shown, so that none is shown twice.

use std::{collections::HashMap, mem};

/// Orders in each of the two generations. A watch may last for ever and memory may not grow with it; a snapshot has at most
/// 10,000 orders.
const GENERATION_SIZE: usize = 100_000;

/// The highest version of each order that moved lately.
#[derive(Debug, Default)]
pub struct Seen {
    recent: HashMap<String, i64>,
    older: HashMap<String, i64>,
}

impl Seen {
    /// Notes a version, and says whether it is above all that were seen of its order. An order that was forgotten because
    /// very many others moved since counts as new: then a repeated transition is shown twice, never one left out.
    pub fn is_new(&mut self, order_id: &str, version: i64) -> bool {
        let known = self.recent.get(order_id).or_else(|| self.older.get(order_id));
        if known.is_some_and(|known| version <= *known) {
            return false;
        }
        if self.recent.len() >= GENERATION_SIZE {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(order_id.to_owned(), version);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new("a", 2));
        assert!(!seen.is_new("a", 2));
        assert!(!seen.is_new("a", 1));
        assert!(seen.is_new("a", 3));
        assert!(seen.is_new("b", 1));
    }

    #[test]
    fn memory_is_bounded_and_the_recent_is_kept() {
        let mut seen = Seen::default();
        for order in 0..3 * GENERATION_SIZE {
            assert!(seen.is_new(&order.to_string(), 1));
        }
        assert!(seen.recent.len() + seen.older.len() <= 2 * GENERATION_SIZE);
        assert!(!seen.is_new(&(2 * GENERATION_SIZE).to_string(), 1));
    }
}
