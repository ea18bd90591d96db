//! Rows of an outbox, and which of their records go next.

use std::collections::HashSet;

use uuid::Uuid;

use super::outbox::Pointer;

/// A row: what one statement wrote and what is not published yet, the lower versions of a key first.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place among all rows.
    pub seq: i64,
    /// What it points at.
    pub pointers: Vec<Pointer>,
}

/// A pointer, and the row that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The row.
    pub seq: i64,
    /// How many pointers the row held when it was read. It never gains any.
    pub row_len: usize,
    /// The pointer.
    pub pointer: Pointer,
}

/// Rows that follow each other.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order of `seq`.
    pub rows: Vec<Row>,
    /// Whether no row follows.
    pub is_last: bool,
    /// The lowest `seq` of the outbox when this was read.
    pub front: i64,
}

impl Page {
    /// The first pointer of each key, at most `most`, without keys that are held. A later one of the same key waits: its record may only
    /// be sent when the earlier one is acked.
    pub fn next(&self, most: usize, is_held: impl Fn(&Uuid) -> bool) -> Vec<Place> {
        let mut seen = HashSet::new();
        let first = self.places().filter(|place| seen.insert(place.pointer.key) && !is_held(&place.pointer.key));
        first.take(most).collect()
    }

    /// All keys, also repeatedly.
    pub fn keys(&self) -> impl Iterator<Item = Uuid> {
        self.places().map(|place| place.pointer.key)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let of_row = |row: &Row| {
            let (seq, row_len) = (row.seq, row.pointers.len());
            row.pointers.clone().into_iter().map(move |pointer| Place { seq, row_len, pointer })
        };
        self.rows.iter().flat_map(of_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &[(i64, &[(u128, i64)])]) -> Page {
        let pointer = |&(key, version): &(u128, i64)| Pointer { key: Uuid::from_u128(key), version };
        let row =
            |&(seq, pointers): &(i64, &[(u128, i64)])| Row { seq, pointers: pointers.iter().map(pointer).collect() };
        Page { rows: rows.iter().map(row).collect(), is_last: true, front: 0 }
    }

    fn next(page: &Page, most: usize, held: &[u128]) -> Vec<(i64, u128, i64)> {
        let places = page.next(most, |key| held.contains(&key.as_u128()));
        places.into_iter().map(|place| (place.seq, place.pointer.key.as_u128(), place.pointer.version)).collect()
    }

    #[test]
    fn the_first_pointer_of_each_key_goes_next() {
        let page = page(&[(-7, &[(1, 1), (2, 1), (1, 2)]), (3, &[(2, 2), (3, 4)]), (9, &[(3, 5), (4, 1)])]);
        assert_eq!(next(&page, 10, &[]), [(-7, 1, 1), (-7, 2, 1), (3, 3, 4), (9, 4, 1)]);
        assert_eq!(next(&page, 2, &[]), [(-7, 1, 1), (-7, 2, 1)]);
        // A later version of a held key is held as well.
        assert_eq!(next(&page, 2, &[2, 3]), [(-7, 1, 1), (9, 4, 1)]);
    }
}
