//! How many orders fit into one response.

/// Where a response is cut.
const MAX_BYTES: i64 = 1024 * 1024;
/// What an order has beside its content: ids, times, the names of its status and workflow.
const ORDER_BYTES: i64 = 400;

/// The room that is left in a response.
#[derive(Debug, Default)]
pub struct Room {
    used: i64,
}

impl Room {
    /// Takes an order in if it fits. The first one always does, so that every order can be read.
    pub fn take(&mut self, content_bytes: i64) -> bool {
        let used = self.used + content_bytes + ORDER_BYTES;
        let fits = self.used == 0 || used <= MAX_BYTES;
        if fits {
            self.used = used;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_taken_fits_or_is_the_first(sizes in prop::collection::vec(0..2 * MAX_BYTES, 1..50)) {
            let mut room = Room::default();
            let taken: Vec<_> = sizes.into_iter().filter(|bytes| room.take(*bytes)).collect();
            prop_assert!(!taken.is_empty());
            prop_assert!(taken.len() == 1 || taken.iter().sum::<i64>() <= MAX_BYTES);
        }
    }
}
