//! What a batch of records adds to the ledger: pure decisions, no I/O.
//!
//! In: the records, and the highest version that the ledger holds of each order. Out: the versions it lacks, from 1 without holes,
//! so that the highest version is all that must be known of an order.

use std::collections::{BTreeMap, BTreeSet};

use comanda_kit::{kafka::Record, postgres::StoreError};
use comanda_proto::{
    events::OrderTransition,
    v1::{MailState, Workflow},
    views::offset_date_time,
};
use prost::Message;
use uuid::Uuid;

use super::row::{Entry, Known};

/// What a batch says about its orders.
#[derive(Debug, Default)]
pub struct Batch {
    /// Transitions by order and version.
    pub entries: BTreeMap<Uuid, BTreeMap<i64, Entry>>,
    /// Orders with a record that cannot be read.
    pub hints: BTreeSet<Uuid>,
}

impl Batch {
    /// Reads records. One that cannot be read is a hint about the order that its key names. Without such a key it is an error.
    pub fn read(records: &[Record]) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        for record in records {
            match entry(record) {
                Some(entry) => batch.add(entry),
                None => drop(batch.hints.insert(record.order_id().ok_or_else(unreadable)?)),
            }
        }
        Ok(batch)
    }

    /// Adds one transition.
    pub fn add(&mut self, entry: Entry) {
        self.entries.entry(entry.order_id).or_default().insert(entry.version, entry);
    }

    /// Every order that the batch is about, sorted.
    pub fn orders(&self) -> Vec<Uuid> {
        self.entries.keys().chain(&self.hints).copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The versions of an order that must be read from its history, as (above, to), since the records leave a hole.
    pub fn hole(&self, known: &Known) -> Option<(i64, i64)> {
        if self.hints.contains(&known.order_id) {
            return Some((known.version, i64::MAX));
        }
        let new: Vec<_> = self.entries.get(&known.order_id)?.range(known.version + 1..).map(|(v, _)| *v).collect();
        let last = *new.last()?;
        let dense = usize::try_from(last - known.version) == Ok(new.len());
        (!dense).then_some((known.version, last))
    }

    /// What the ledger lacks of an order; fails where even the history has a hole.
    pub fn missing(&self, known: &Known) -> Result<Vec<&Entry>, StoreError> {
        let new = self.entries.get(&known.order_id).into_iter().flat_map(|of| of.range(known.version + 1..));
        let mut next = known.version;
        new.map(|(version, entry)| {
            next += 1;
            if *version == next { Ok(entry) } else { Err(hole_in_history(known.order_id, next)) }
        })
        .collect()
    }
}

fn hole_in_history(order: Uuid, version: i64) -> StoreError {
    StoreError::Unreadable(format!("the history of order {order} lacks version {version}"))
}

fn unreadable() -> StoreError {
    StoreError::Unreadable("the record is no transition, and its key is no order id".into())
}

/// The transition in a record, unless its key names another order.
fn entry(record: &Record) -> Option<Entry> {
    let transition = OrderTransition::decode(&*record.payload).ok().filter(|transition| transition.version >= 1)?;
    let order_id = Uuid::try_parse(&transition.order_id).ok()?;
    Some(Entry {
        order_id: Some(order_id).filter(|order_id| record.order_id() == Some(*order_id))?,
        version: transition.version,
        status: transition.to_status,
        workflow: transition.workflow,
        workflow_revision: transition.workflow_revision,
        transition_time: offset_date_time(&transition.transition_time?)?,
    })
}

/// The mail template of a status; empty where it has none.
pub fn template<'w>(workflow: &'w Workflow, status: &str) -> &'w str {
    workflow.statuses.iter().find(|known| known.name == status).map_or("", |status| &status.mail_template)
}

/// Whether a mail is due.
pub fn state(workflow: &Workflow, status: &str, has_address: bool) -> MailState {
    if has_address && !template(workflow, status).is_empty() { MailState::Due } else { MailState::Suppressed }
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::damaged;
    use proptest::prelude::*;
    use prost_types::Timestamp;
    use time::OffsetDateTime;

    use super::*;

    fn entered(version: i64) -> Entry {
        let (status, workflow, transition_time) = ("s".into(), "w".into(), OffsetDateTime::UNIX_EPOCH);
        Entry { order_id: ORDER, version, status, workflow, workflow_revision: 1, transition_time }
    }

    fn known(version: i64) -> Known {
        Known { order_id: ORDER, tenant: "t".into(), version, not_before: None, is_settled: true, has_address: true }
    }

    fn record(key: &str, payload: Vec<u8>) -> Record {
        Record { topic: "t".into(), key: key.into(), payload, ..Record::default() }
    }

    fn transition(version: i64) -> OrderTransition {
        let transition_time = Some(Timestamp { seconds: 1_700_000_000, nanos: 0 });
        OrderTransition {
            order_id: ORDER.to_string(),
            version,
            to_status: "s".into(),
            transition_time,
            ..Default::default()
        }
    }

    const ORDER: Uuid = Uuid::from_u128(7);

    #[test]
    fn what_cannot_be_read_is_a_hint_if_its_key_is_an_order() {
        let good = transition(2).encode_to_vec();
        let other = Uuid::from_u128(3);
        let batch =
            Batch::read(&[record(&ORDER.to_string(), good), record(&other.to_string(), vec![0xff])]).expect("readable");
        assert_eq!(batch.orders(), [other, ORDER]);
        assert_eq!(batch.hints, [other].into());
        for (key, payload) in [("no order", vec![0xff]), ("", OrderTransition::default().encode_to_vec())] {
            assert!(matches!(Batch::read(&[record(key, payload)]), Err(StoreError::Unreadable(_))));
        }
    }

    #[test]
    fn a_hint_asks_for_everything_that_is_new() {
        let batch = Batch { hints: [ORDER].into(), ..Default::default() };
        assert_eq!(batch.hole(&known(3)), Some((3, i64::MAX)));
    }

    #[test]
    fn a_hole_that_the_history_has_too_is_a_problem() {
        let mut batch = Batch::default();
        batch.add(entered(3));
        assert!(batch.missing(&known(1)).is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_record_tells_of_the_order_of_its_key_or_is_unreadable(
            version in 1..9_i64, held in 0..9_i64, changes in proptest::collection::vec(any::<(u16, u8)>(), 1..4)
        ) {
            let payload = damaged(&transition(version).encode_to_vec(), &changes);
            let mut batch = Batch::read(&[record(&ORDER.to_string(), payload)]).expect("the key is an order");
            prop_assert_eq!(batch.orders(), [ORDER]);
            if let Some((above, to)) = batch.hole(&known(held)) {
                // What the history knows, however far the damaged version lies.
                (above + 1..=to.min(9)).for_each(|version| batch.add(entered(version)));
            }
            if let Ok(missing) = batch.missing(&known(held)) {
                prop_assert!(missing.iter().zip(held + 1..).all(|(entry, version)| entry.version == version));
            }
        }

        #[test]
        fn a_record_of_any_kind_is_a_hint_or_unreadable(key in any::<String>(), payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            match Batch::read(&[record(&key, payload)]) {
                Ok(batch) => prop_assert_eq!(batch.orders(), [Uuid::try_parse(&key).expect("a key")]),
                Err(error) => prop_assert!(!error.is_transient()),
            }
        }

        #[test]
        fn after_the_history_was_read_the_ledger_gets_exactly_the_new_versions_without_holes(
            held in 0i64..6, versions in proptest::collection::btree_set(1i64..10, 1..9)
        ) {
            let mut batch = Batch::default();
            versions.iter().for_each(|version| batch.add(entered(*version)));
            if let Some((above, to)) = batch.hole(&known(held)) {
                (above + 1..=to).for_each(|version| batch.add(entered(version)));
            }
            let missing: Vec<_> = batch.missing(&known(held)).expect("dense").iter().map(|entry| entry.version).collect();
            let last = versions.last().copied().unwrap_or(0);
            prop_assert_eq!(missing, (held + 1..=last).collect::<Vec<_>>());
        }
    }
}
