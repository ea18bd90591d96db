//! A transition as the hub passes it round: decoded once to be found and matched, encoded once to be sent.

use comanda_kit::kafka::Record;
use comanda_proto::{
    frame::Frame,
    v1::{OrderTransition, Phase},
};
use prost::Message;
use uuid::Uuid;

/// What an event weighs beside its payload and its texts: itself, its places in the ring and in the index of versions.
const OVERHEAD_BYTES: usize = 320;

/// Where a record lies in the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset within the partition.
    pub offset: i64,
    /// Where a reader goes on after it: behind the record, or at the record again while more of what it stands for is to come.
    pub next: i64,
}

impl Place {
    /// The place of a whole record.
    pub fn of_record(partition: i32, offset: i64) -> Self {
        Self { partition, offset, next: offset + 1 }
    }

    /// Whether what lies here is a record's own transition, and not one that the store told instead.
    pub fn is_of_record(&self) -> bool {
        self.next > self.offset
    }
}

/// A transition of an order.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Event {
    pub place: Place,
    pub order_id: Uuid,
    pub version: i64,
    /// Whether the order has ended with it.
    pub terminal: bool,
    pub customer_id: String,
    pub workflow: String,
    pub from_status: String,
    pub to_status: String,
    /// The response that shows it.
    pub frame: Frame,
    /// Roughly what it occupies.
    pub size_bytes: usize,
}

impl Event {
    /// Decodes a record; `None` for what is no transition of the order that the key names.
    pub fn decode(record: &Record) -> Option<Self> {
        let transition = OrderTransition::decode(&*record.payload).ok()?;
        let event = Self::new(Place::of_record(record.partition, record.offset), transition, &record.payload);
        event.filter(|event| record.order_id() == Some(event.order_id))
    }

    /// The event of a transition that was read from the store.
    pub fn of_transition(place: Place, transition: OrderTransition) -> Option<Self> {
        let payload = transition.encode_to_vec();
        Self::new(place, transition, &payload)
    }

    /// The payload is forwarded as it came, so that fields which this build does not know reach the watchers.
    fn new(place: Place, transition: OrderTransition, payload: &[u8]) -> Option<Self> {
        let order_id = Uuid::try_parse(&transition.order_id).ok().filter(|_| transition.version > 0)?;
        Some(Self {
            place,
            order_id,
            version: transition.version,
            terminal: is_terminal(transition.phase),
            // The texts stand in the payload once more.
            size_bytes: OVERHEAD_BYTES + 2 * payload.len(),
            customer_id: transition.customer_id,
            workflow: transition.workflow,
            from_status: transition.from_status,
            to_status: transition.to_status,
            frame: Frame::transition(payload),
        })
    }
}

/// Whether an order in this phase has ended. A phase that is not known is an end: every phase but ACTIVE is one.
pub fn is_terminal(phase: i32) -> bool {
    phase > Phase::Active.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_transition_of_an_order_is_no_event() {
        let record = |payload: &[u8]| Record {
            topic: "transitions".into(),
            partition: 0,
            offset: 7,
            key: Uuid::nil().to_string().into(),
            payload: payload.into(),
        };
        let valid = OrderTransition { order_id: Uuid::nil().to_string(), version: 1, ..Default::default() };
        assert!(Event::decode(&record(&valid.encode_to_vec())).is_some());
        for wrong in [
            OrderTransition { version: 0, ..valid.clone() },
            OrderTransition { order_id: "no id".into(), ..valid.clone() },
            OrderTransition { order_id: Uuid::max().to_string(), ..valid.clone() },
            OrderTransition::default(),
        ] {
            assert!(Event::decode(&record(&wrong.encode_to_vec())).is_none(), "{wrong:?}");
        }
        assert!(Event::decode(&record(b"no protobuf")).is_none());
    }

    #[test]
    fn every_phase_but_active_ends_an_order() {
        assert!(!is_terminal(Phase::Unspecified.into()));
        assert!(!is_terminal(Phase::Active.into()));
        assert!(
            [Phase::Succeeded, Phase::Cancelled, Phase::Rejected, Phase::Failed]
                .map(i32::from)
                .iter()
                .all(|p| is_terminal(*p))
        );
    }
}
