//! The entries of a map that were put in last, within a bound.

use std::{collections::HashMap, hash::Hash, mem};

/// A map that forgets what was put in longest ago. It holds at least half of what the bound allows of the latest entries, and never more than
/// the bound, plus the last entry.
#[derive(Debug)]
pub struct Recent<K, V> {
    most: usize,
    weight: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Of entries that weigh `most` together; of none where that is 0.
    pub fn new(most: usize) -> Self {
        Self { most, weight: 0, young: HashMap::new(), old: HashMap::new() }
    }

    /// Puts an entry in, in the place of an earlier one of the key.
    pub fn put(&mut self, key: K, value: V, weight: usize) {
        if self.most == 0 {
            return;
        }
        self.weight += weight;
        self.young.insert(key, value);
        if self.weight > self.most / 2 {
            (self.old, self.weight) = (mem::take(&mut self.young), 0);
        }
    }

    /// The latest entry of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Takes the latest entry of a key out.
    pub fn take(&mut self, key: &K) -> Option<V> {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_entries_are_kept_within_the_bound() {
        let mut recent = Recent::new(20);
        for key in 0..100_i32 {
            recent.put(key, key, 1);
            assert!(((key - 9).max(0)..=key).all(|key| recent.get(&key) == Some(&key)), "at {key}");
            assert!(recent.young.len() + recent.old.len() <= 21);
        }
        assert_eq!((recent.take(&99), recent.take(&99)), (Some(99), None));
        assert_eq!(recent.get(&0), None);
        recent.clear();
        assert_eq!(recent.get(&98), None);
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one_wherever_that_is() {
        let mut recent = Recent::new(4);
        recent.put(1, "earlier", 3);
        recent.put(1, "later", 1);
        assert_eq!(recent.get(&1), Some(&"later"));
        assert_eq!((recent.take(&1), recent.take(&1)), (Some("later"), None));
    }

    #[test]
    fn a_bound_of_zero_keeps_nothing() {
        let mut recent = Recent::new(0);
        recent.put(1, 1, 0);
        assert_eq!(recent.get(&1), None);
    }
}
