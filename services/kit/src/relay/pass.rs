//! The way past the rows at the head of an outbox of which everything is set aside, so that they are not read in every round.
//!
//! In: pages of which nothing may be sent. Out: where to read on, and what to leave alone behind it. A key that was passed by stays held
//! for the rest of the pass, even if what set it aside is over: else its later version would go before the earlier one.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{finality::Finality, finality::Horizon, log::Log, rows::Page, set_aside::SetAside};

/// A pass lasts at least so long after its last step, and at least as long as its steps took together: what was passed by is looked at
/// again then.
const LEAST: Duration = Duration::from_secs(1);
/// Keys that are held because of a pass, at most: beyond it the pass ends.
const MOST_KEYS: usize = 100_000;

/// A pass, or none.
pub struct Pass {
    after: Option<i64>,
    /// The lowest row when the pass began. Rows that are put back come in front of it, and end the pass.
    front: i64,
    partitions: HashSet<i32>,
    keys: HashSet<Uuid>,
    finality: Finality,
    began: Instant,
    stepped: Instant,
}

impl Default for Pass {
    fn default() -> Self {
        let (now, finality) = (Instant::now(), Finality::default());
        Self {
            after: None,
            front: 0,
            partitions: HashSet::new(),
            keys: HashSet::new(),
            finality,
            began: now,
            stepped: now,
        }
    }
}

impl Pass {
    /// Behind which row to read on.
    pub fn after(&self) -> Option<i64> {
        self.after
    }

    /// Whether a key is held because of what was passed by.
    pub fn holds(&self, key: &Uuid, log: &Log) -> bool {
        let is_closed = |partition| self.partitions.contains(&partition);
        self.after.is_some() && (self.keys.contains(key) || log.partition_of(key).is_some_and(is_closed))
    }

    /// Ends the pass if it has lasted for long enough, or if nothing is set aside any more.
    pub fn end_at_times(&mut self, is_nothing_aside: bool) {
        let lasts = LEAST.max(self.stepped - self.began);
        if is_nothing_aside || self.stepped.elapsed() >= lasts {
            self.end();
        }
    }

    /// Ends it: the next page is that at the head.
    pub fn end(&mut self) {
        (self.after, self.partitions, self.keys) = (None, HashSet::new(), HashSet::new());
    }

    /// Whether rows were put in front of those that were passed by since.
    pub fn is_overtaken(&self, page: &Page) -> bool {
        self.after.is_some() && page.front < self.front
    }

    /// Whether no row can become visible any more that belongs before the end of this page. Rows in front have negative numbers: one that
    /// was drawn later lies before all others, where [`Pass::is_overtaken`] finds it.
    pub fn is_final(&self, page: &Page) -> bool {
        let last = page.rows.last().map_or(0, |row| row.seq);
        last.max(-page.front) <= self.finality.upto()
    }

    /// Learns what is final. False if that cannot be said yet.
    pub fn learn(&mut self, horizon: Horizon) -> bool {
        self.finality.learn(horizon)
    }

    /// Goes past a page of which everything is held.
    pub fn step(&mut self, page: &Page, set_aside: &SetAside, log: &Log) {
        let now = Instant::now();
        if self.after.is_none() {
            (self.front, self.began) = (page.front, now);
        }
        for key in page.keys() {
            match log.partition_of(&key) {
                Some(partition) if self.partitions.contains(&partition) => {}
                Some(partition) if set_aside.closes(partition) => _ = self.partitions.insert(partition),
                _ => _ = self.keys.insert(key),
            }
        }
        (self.after, self.stepped) = (page.rows.last().map(|row| row.seq), now);
        if self.keys.len() > MOST_KEYS {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::{outbox::Pointer, rows::Row, unreachable::unreachable_log};

    fn page(front: i64, seqs: &[i64]) -> Page {
        let pointer = |seq: i64| Pointer { key: Uuid::from_u128(seq.unsigned_abs().into()), version: 1 };
        let rows = seqs.iter().map(|&seq| Row { seq, pointers: vec![pointer(seq)] }).collect();
        Page { rows, is_last: false, front }
    }

    #[tokio::test]
    async fn a_pass_holds_what_it_went_past_until_rows_are_put_in_front() {
        let (log, set_aside, mut pass) = (unreachable_log(), SetAside::default(), Pass::default());
        let head = page(-2, &[-2, 5, 7]);
        assert!(!pass.is_final(&head));
        for id in [10, 11, 12] {
            assert!(pass.learn(Horizon { drawn: 7, oldest_running: id, next_id: id }));
        }
        assert!(pass.is_final(&head));
        assert!(!pass.is_final(&page(-2, &[5, 8])), "8 was drawn later");
        assert!(!pass.is_final(&page(-8, &[-8, 5])), "something between -8 and 5 may come");
        let key = head.keys().next().expect("a key");
        assert!(!pass.holds(&key, &log));
        pass.step(&head, &set_aside, &log);
        assert_eq!((pass.after(), pass.holds(&key, &log)), (Some(7), true));
        assert!(!pass.is_overtaken(&page(-2, &[8])) && !pass.is_overtaken(&page(5, &[8])));
        assert!(pass.is_overtaken(&page(-9, &[8])));
        pass.end();
        assert_eq!((pass.after(), pass.holds(&key, &log)), (None, false));
    }
}
