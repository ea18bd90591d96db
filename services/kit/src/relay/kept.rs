//! Records that this process has committed and not published yet, encoded: the relay need not read them back.
//!
//! It is a cache and never the truth. What is missing (after a start, of another replica, beyond the bound) is read from the database. What
//! is in it was said by the database after its commit: sqlx gives the rows of a statement only once the server is ready for the next one, and
//! the server says so after the commit. A record whose commit failed, or had an unknown outcome, is never put in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outbox::{Outgoing, Pointer};
use crate::{kafka, recent::Recent};

/// What a record takes beside its payload, in bytes: its headers and its places in maps.
const OVERHEAD_BYTES: usize = 512;

/// A bounded cache that writers fill and the relay empties. Clones share it.
#[derive(Clone)]
pub struct Kept {
    state: Arc<Mutex<State>>,
}

struct State {
    /// Counts the terms of this replica. Only a leader publishes, so others keep nothing.
    term: u64,
    leads: bool,
    records: Recent<Pointer, Outgoing>,
}

impl Kept {
    /// As large as the settings say.
    pub fn of(kafka: &kafka::Config) -> Self {
        Self::new(kafka.outbox_cache_bytes())
    }

    /// A cache of at most `most_bytes`; with 0 nothing is kept.
    pub fn new(most_bytes: usize) -> Self {
        Self { state: Arc::new(Mutex::new(State { term: 0, leads: false, records: Recent::new(most_bytes) })) }
    }

    /// Keeps records whose commit the database has confirmed. They are only made if they can be of use.
    pub fn keep(&self, records: impl IntoIterator<Item = Outgoing>) {
        let Some(term) = self.term() else { return };
        // Encoded before the lock is taken again.
        let records: Vec<_> = records.into_iter().collect();
        let mut state = self.state();
        let is_same_term = state.leads && state.term == term;
        for record in records.into_iter().filter(|_| is_same_term) {
            let weight = record.payload.len() + OVERHEAD_BYTES;
            state.records.put(record.pointer(), record, weight);
        }
    }

    /// Takes out what there is of these, and says which are missing.
    pub(super) fn take(&self, pointers: impl IntoIterator<Item = Pointer>) -> (Vec<Outgoing>, Vec<Pointer>) {
        let (mut state, mut found, mut missing) = (self.state(), Vec::new(), Vec::new());
        for pointer in pointers {
            match state.records.take(&pointer) {
                Some(record) => found.push(record),
                None => missing.push(pointer),
            }
        }
        (found, missing)
    }

    /// Forgets everything, and keeps what is committed from now on. The database may have been restored to an earlier time since.
    pub(super) fn begin_term(&self) {
        let mut state = self.state();
        state.records.clear();
        (state.term, state.leads) = (state.term + 1, true);
    }

    /// Forgets everything: this replica does not lead.
    pub(super) fn end_term(&self) {
        let mut state = self.state();
        state.records.clear();
        state.leads = false;
    }

    fn term(&self) -> Option<u64> {
        let state = self.state();
        state.leads.then_some(state.term)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::OwnedHeaders;
    use uuid::Uuid;

    use super::*;

    fn record(key: u128) -> Outgoing {
        let (key, headers) = (Uuid::from_u128(key), OwnedHeaders::new());
        Outgoing { key, version: 1, headers, payload: vec![7; 100] }
    }

    fn taken(kept: &Kept, key: u128) -> bool {
        !kept.take([record(key).pointer()]).0.is_empty()
    }

    #[test]
    fn a_record_is_kept_once_and_only_by_a_leader() {
        let kept = Kept::new(1_000_000);
        kept.keep([record(1)]);
        assert!(!taken(&kept, 1), "it did not lead");
        kept.begin_term();
        kept.keep([record(1), record(2)]);
        assert!(taken(&kept, 1) && !taken(&kept, 1));
        kept.begin_term();
        assert!(!taken(&kept, 2), "kept in an earlier term");
        kept.end_term();
        kept.keep(std::iter::from_fn(|| panic!("made for nothing")));
    }

    #[test]
    fn beyond_the_bound_the_oldest_are_missing() {
        let kept = Kept::new(10 * (OVERHEAD_BYTES + 100));
        kept.begin_term();
        kept.keep((0..100).map(record));
        let (found, missing) = kept.take((0..100).map(|key| record(key).pointer()));
        assert!((5..=11).contains(&found.len()), "{}", found.len());
        assert_eq!(found.len() + missing.len(), 100);
        assert!(found.iter().all(|record| record.key.as_u128() >= 89));
    }
}
