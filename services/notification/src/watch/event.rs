//! A transition as the hub passes it on: decoded once to be matched, encoded once to be sent.

use comanda_kit::kafka::Record;
use comanda_proto::{events::OrderTransition, frame::Frame, v1::Phase};
use prost::Message;
use uuid::Uuid;

/// Roughly what an event occupies beside its payload and its texts: itself, and its entries in the ring.
const OVERHEAD_BYTES: usize = 344;

/// A transition of an order.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Event {
    /// Partition of the record that tells of it.
    pub partition: i32,
    /// Offset of that record.
    pub offset: i64,
    /// True where the record cannot be read and the store told the transition in its place.
    pub from_store: bool,
    pub order_id: Uuid,
    pub tenant: String,
    pub version: i64,
    pub phase: i32,
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
    /// Decodes a record; `None` for one that is no transition of the order that its key names, or that names no tenant.
    pub fn decode(record: &Record) -> Option<Self> {
        let transition = OrderTransition::decode(&*record.payload).ok()?;
        let event = Self::new(record.partition, record.offset, transition, &record.payload);
        event.filter(|event| record.order_id() == Some(event.order_id))
    }

    /// The event of a transition that is not encoded yet.
    pub fn of_transition(partition: i32, offset: i64, transition: OrderTransition) -> Option<Self> {
        let payload = transition.encode_to_vec();
        Self::new(partition, offset, transition, &payload)
    }

    /// The payload is forwarded as it is, so that fields which this build does not know reach the client.
    fn new(partition: i32, offset: i64, transition: OrderTransition, payload: &[u8]) -> Option<Self> {
        let order_id = Uuid::try_parse(&transition.order_id).ok().filter(|_| transition.version > 0)?;
        if transition.tenant.is_empty() {
            return None;
        }
        Some(Self {
            partition,
            offset,
            from_store: false,
            order_id,
            tenant: transition.tenant,
            version: transition.version,
            phase: transition.phase,
            // The texts are in the payload once more.
            size_bytes: OVERHEAD_BYTES + 2 * payload.len(),
            customer_id: transition.customer_id,
            workflow: transition.workflow,
            from_status: transition.from_status,
            to_status: transition.to_status,
            frame: Frame::transition(payload),
        })
    }

    /// Where a reader continues after this event. Several events may stand in the place of one record: a reader that resumes between them
    /// reads that record again.
    pub fn next_offset(&self) -> i64 {
        if self.from_store { self.offset } else { self.offset + 1 }
    }

    /// The phase that the order left. Orders leave only ACTIVE, and the first version leaves none.
    pub fn from_phase(&self) -> Option<i32> {
        (self.version > 1).then_some(Phase::Active.into())
    }
}

/// Whether an order in this phase has ended. A phase that this build does not know is an end: every phase but ACTIVE is one.
pub fn is_terminal(phase: i32) -> bool {
    phase > Phase::Active.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_transition_of_the_order_that_the_key_names_is_an_event() {
        let record = |payload: &[u8]| Record {
            topic: "transitions".into(),
            partition: 0,
            offset: 7,
            key: Uuid::nil().to_string().into(),
            payload: payload.into(),
            ..Record::default()
        };
        let valid = OrderTransition {
            order_id: Uuid::nil().to_string(),
            tenant: "default".into(),
            version: 1,
            ..Default::default()
        };
        assert!(Event::decode(&record(&valid.encode_to_vec())).is_some());
        for wrong in [
            OrderTransition { version: 0, ..valid.clone() },
            OrderTransition { order_id: "no id".into(), ..valid.clone() },
            OrderTransition { order_id: Uuid::max().to_string(), ..valid.clone() },
            OrderTransition { tenant: String::new(), ..valid.clone() },
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
        for phase in [Phase::Succeeded, Phase::Cancelled, Phase::Rejected, Phase::Failed] {
            assert!(is_terminal(phase.into()), "{phase:?}");
        }
    }
}
