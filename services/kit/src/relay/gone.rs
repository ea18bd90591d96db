//! Pointers that are to be deleted, by the rows that hold them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::rows::Place;

/// Pointers of which nothing is left to do. Those of finished rows are not listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Rows of which every pointer is gone, as far as is known here.
    pub finished: Vec<i64>,
    /// The rows of the others, one for each pointer ..
    pub seqs: Vec<i64>,
    /// .. their keys ..
    pub order_ids: Vec<Uuid>,
    /// .. and their versions.
    pub versions: Vec<i64>,
}

impl Gone {
    /// Of places, each at most once.
    pub fn of(places: &[Place]) -> Self {
        let mut rows: BTreeMap<i64, Vec<&Place>> = BTreeMap::new();
        places.iter().for_each(|place| rows.entry(place.seq).or_default().push(place));
        let mut gone = Self::default();
        for (seq, places) in rows {
            // Rows only shrink, so the smallest one that was seen is the latest.
            let row_len = places.iter().map(|place| place.row_len).min();
            if row_len == Some(places.len()) {
                gone.finished.push(seq);
            } else {
                places.into_iter().for_each(|place| gone.push(place));
            }
        }
        gone
    }

    fn push(&mut self, place: &Place) {
        self.seqs.push(place.seq);
        self.order_ids.push(place.pointer.key);
        self.versions.push(place.pointer.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::outbox::Pointer;

    fn place(seq: i64, row_len: usize, key: u128, version: i64) -> Place {
        Place { seq, row_len, pointer: Pointer { key: Uuid::from_u128(key), version } }
    }

    #[test]
    fn a_row_is_finished_when_all_its_pointers_are_gone() {
        let all = [place(7, 2, 1, 1), place(5, 1, 2, 1), place(7, 2, 3, 1), place(9, 3, 1, 2), place(9, 3, 3, 2)];
        let gone = Gone::of(&all);
        assert_eq!(gone.finished, [5, 7]);
        assert_eq!((&gone.seqs[..], &gone.versions[..]), (&[9, 9][..], &[2, 2][..]));
        assert_eq!(gone.order_ids, [Uuid::from_u128(1), Uuid::from_u128(3)]);
    }

    #[test]
    fn an_ack_that_comes_late_counts_for_the_row_as_it_is_now() {
        // The first was sent when the row held four pointers; two of them are gone since.
        assert_eq!(Gone::of(&[place(3, 4, 1, 1), place(3, 2, 2, 1)]).finished, [3]);
        assert!(Gone::of(&[place(3, 4, 1, 1)]).finished.is_empty());
    }
}
