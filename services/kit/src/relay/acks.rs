//! What Kafka's acks say: which records are on the log, and how far each partition has come.

use std::collections::{BTreeMap, HashMap};

use super::{log::Ack, rows::Place};

/// The lowest and the highest acked offset of each partition.
pub type Reach = BTreeMap<i32, (i64, i64)>;

/// The acked records of a batch.
#[derive(Debug, Default)]
pub struct Acks {
    /// The places of their pointers.
    pub places: Vec<Place>,
    /// Where Kafka stored them.
    pub reach: Reach,
}

impl Acks {
    /// Of those records that were acked.
    pub fn of(results: &[(Place, Ack)], unnumbered: &mut Unnumbered) -> Self {
        let mut acked = Self::default();
        for (place, ack) in results {
            let Ok((partition, offset)) = *ack else { continue };
            acked.places.push(*place);
            if unnumbered.is_numbered(partition, offset) {
                let (low, high) = acked.reach.entry(partition).or_insert((offset, offset));
                (*low, *high) = ((*low).min(offset), (*high).max(offset));
            }
        }
        acked
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none was acked.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Tells acks with an offset from those without. A repeated batch that the broker had already is acked without one, as -1, and librdkafka
/// counts on from there for the records of the batch: -1, 0, 1, 2 (`rd_kafka_msgq_set_metadata` after DUPLICATE_SEQUENCE_NUMBER). These are
/// not the first offsets of a new log.
#[derive(Default)]
pub struct Unnumbered {
    /// By partition: how such a batch goes on.
    next: HashMap<i32, i64>,
}

impl Unnumbered {
    /// Whether an ack has an offset. Acks of a partition must come in the order in which the records were sent.
    pub fn is_numbered(&mut self, partition: i32, offset: i64) -> bool {
        let is_numbered = offset >= 0 && self.next.get(&partition) != Some(&offset);
        if is_numbered {
            self.next.remove(&partition);
        } else {
            self.next.insert(partition, offset + 1);
        }
        is_numbered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_batch_has_no_offsets() {
        let mut unnumbered = Unnumbered::default();
        let acks = [(0, 700), (0, -1), (0, 0), (1, 1), (0, 1), (0, 704), (0, 2), (1, -1), (2, 0)];
        let numbered: Vec<_> = acks.into_iter().filter(|&(at, offset)| unnumbered.is_numbered(at, offset)).collect();
        assert_eq!(numbered, [(0, 700), (1, 1), (0, 704), (0, 2), (2, 0)]);
    }
}
