//! What was handed out of each order: its last version, so that none is handed out twice, and whether it still moves.

use std::{collections::HashMap, mem};

/// Orders in each of the two generations. A watch may last forever, and its memory must not grow with it.
const GENERATION_SIZE: usize = 100_000;

/// The orders that were seen lately.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    recent: HashMap<String, Last>,
    older: HashMap<String, Last>,
    snapshot: u64,
}

/// What was seen last of an order.
#[derive(Clone, Copy, Debug)]
struct Last {
    version: i64,
    has_ended: bool,
    /// The snapshot that was being read, or had been read, at that time.
    snapshot: u64,
}

impl Seen {
    /// A new snapshot begins.
    pub fn begin_snapshot(&mut self) {
        self.snapshot += 1;
    }

    /// The orders that had not ended when they were seen before the last snapshot began, and that were not seen since: they have ended
    /// meanwhile, or match no more.
    pub fn missing(&self) -> Vec<String> {
        let is_missing = |last: &Last| !last.has_ended && last.snapshot < self.snapshot;
        let older = self.older.iter().filter(|(order_id, _)| !self.recent.contains_key(*order_id));
        let all = self.recent.iter().chain(older);
        let mut missing: Vec<_> =
            all.filter(|(_, last)| is_missing(last)).map(|(order_id, _)| order_id.clone()).collect();
        missing.sort_unstable();
        missing
    }

    /// Notes a version, and says whether it is above all that were seen of its order. An order that was forgotten, because very many
    /// others moved since, counts as new: a repeated transition may then be handed out twice, but none is left out.
    pub fn is_new(&mut self, order_id: &str, version: i64, has_ended: bool) -> bool {
        let known = self.recent.get(order_id).or_else(|| self.older.get(order_id)).copied();
        let is_new = known.is_none_or(|known| version > known.version);
        let last = match known {
            Some(known) if !is_new => Last { snapshot: self.snapshot, ..known },
            _ => Last { version, has_ended, snapshot: self.snapshot },
        };
        if self.recent.len() >= GENERATION_SIZE {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(order_id.to_owned(), last);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new("a", 2, false));
        assert!(!seen.is_new("a", 2, false));
        assert!(!seen.is_new("a", 1, false));
        assert!(seen.is_new("a", 3, false));
        assert!(seen.is_new("b", 1, false));
    }

    #[test]
    fn an_order_that_a_new_snapshot_does_not_show_is_missing_unless_it_had_ended() {
        let mut seen = Seen::default();
        seen.begin_snapshot();
        for (order_id, has_ended) in [("shown", false), ("gone", false), ("ended", true), ("moved", false)] {
            seen.is_new(order_id, 2, has_ended);
        }
        assert!(seen.missing().is_empty());
        seen.begin_snapshot();
        assert!(!seen.is_new("shown", 2, false));
        assert!(seen.is_new("moved", 3, false));
        assert_eq!(seen.missing(), ["gone"]);
    }

    #[test]
    fn memory_is_bounded_and_the_recent_is_kept() {
        let mut seen = Seen::default();
        for order in 0..3 * GENERATION_SIZE {
            assert!(seen.is_new(&order.to_string(), 1, false));
        }
        assert!(seen.recent.len() + seen.older.len() <= 2 * GENERATION_SIZE);
        assert!(!seen.is_new(&(2 * GENERATION_SIZE).to_string(), 1, false));
    }
}
