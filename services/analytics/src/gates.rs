//! Which events of a batch count: each version of an order once, whatever is repeated, late or missing.
//!
//! A gate is the last version of an order that is counted. What lies between it and the next event that is read was lost on the way: it is read
//! from the history.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::event::Event;

/// The last counted version of each order that has one.
pub type Gates = BTreeMap<Uuid, i64>;

/// Versions of an order that are to be read from the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The order.
    pub order_id: Uuid,
    /// They are above this version ..
    pub after: i64,
    /// .. and below this one.
    pub before: i64,
}

/// What is to be counted of a batch.
#[derive(Debug, Default, PartialEq)]
pub struct Selection<'e> {
    /// These events.
    pub events: Vec<&'e Event>,
    /// And these versions.
    pub gaps: Vec<Gap>,
}

/// Selects what the gates do not have. `unreadable` are orders with a record that could not be read: whatever the history has of them.
pub fn select<'e>(
    events: impl IntoIterator<Item = &'e Event>,
    unreadable: impl IntoIterator<Item = Uuid>,
    mut gates: Gates,
) -> Selection<'e> {
    let mut selection = Selection::default();
    for event in events {
        let gate = gates.entry(event.order_id).or_insert(0);
        if event.version <= *gate {
            continue;
        }
        if event.version > *gate + 1 {
            selection.gaps.push(Gap { order_id: event.order_id, after: *gate, before: event.version });
        }
        *gate = event.version;
        selection.events.push(event);
    }
    for order_id in unreadable {
        let after = gates.insert(order_id, i64::MAX).unwrap_or(0);
        if after < i64::MAX {
            selection.gaps.push(Gap { order_id, after, before: i64::MAX });
        }
    }
    selection
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use time::OffsetDateTime;

    use super::*;
    use crate::event::Fact;

    fn event(order: u128, version: i64) -> Event {
        Event {
            order_id: Uuid::from_u128(order),
            version,
            tenant: "default".into(),
            workflow: "delivery".into(),
            time: OffsetDateTime::UNIX_EPOCH,
            fact: Fact::Other,
        }
    }

    #[test]
    fn a_gap_is_read_from_the_history_and_a_repetition_dropped() {
        let batch = [event(1, 1), event(1, 1), event(1, 4), event(1, 3), event(2, 7), event(2, 8)];
        let gates = Gates::from([(Uuid::from_u128(2), 6)]);
        let selection = select(&batch, [Uuid::from_u128(3), Uuid::from_u128(3), Uuid::from_u128(1)], gates);
        let versions: Vec<_> = selection.events.iter().map(|event| event.version).collect();
        assert_eq!(versions, [1, 4, 7, 8]);
        let gap = |order, after, before| Gap { order_id: Uuid::from_u128(order), after, before };
        assert_eq!(selection.gaps, [gap(1, 1, 4), gap(3, 0, i64::MAX), gap(1, 4, i64::MAX)]);
    }

    proptest! {
        #[test]
        fn each_version_up_to_the_highest_counts_once(read in vec((0_u128..3, 1_i64..9), 0..60), cut in 0_usize..60) {
            let batch: Vec<_> = read.iter().map(|(order, version)| event(*order, *version)).collect();
            let mut counted: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
            for part in [&batch[..cut.min(batch.len())], &batch[cut.min(batch.len())..]] {
                let gates = counted.iter().map(|(order, versions)| (*order, versions.iter().copied().max().unwrap_or(0)));
                let selection = select(part, [], gates.collect());
                for event in selection.events {
                    counted.entry(event.order_id).or_default().push(event.version);
                }
                for gap in selection.gaps {
                    counted.entry(gap.order_id).or_default().extend(gap.after + 1..gap.before);
                }
            }
            for (order, mut versions) in counted {
                versions.sort_unstable();
                let highest = batch.iter().filter(|event| event.order_id == order).map(|event| event.version).max();
                prop_assert_eq!(versions, (1..=highest.unwrap_or(0)).collect::<Vec<_>>());
            }
        }
    }
}
