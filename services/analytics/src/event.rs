//! What is counted of a record.
//!
//! A record that is no event of the order that its key names is not counted by itself: the history says what it stood for.

use comanda_kit::kafka::Record;
use comanda_proto::{events, topics, views::offset_date_time};
use prost::Message;
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{job::Job, moved::Moved};

/// The topics that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Topic {
    /// What happened to orders.
    Transitions = 1,
    /// What happened to their assignments.
    Assignments = 2,
}

impl Topic {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Transitions, Self::Assignments];

    /// The topic's name, without the prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transitions => topics::ORDER_TRANSITIONS,
            Self::Assignments => topics::ASSIGNMENTS,
        }
    }
}

/// One version of one order, on one of the topics.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The order.
    pub order_id: Uuid,
    /// Its version on this topic, from 1, without holes.
    pub version: i64,
    /// Whose order it is.
    pub tenant: String,
    /// The workflow that it follows.
    pub workflow: String,
    /// When it happened.
    pub time: OffsetDateTime,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The order entered a status.
    Moved(Moved),
    /// A courier did something, or something happened to its job.
    Job {
        /// The courier.
        courier_id: String,
        /// What is counted.
        job: Job,
    },
    /// Nothing that is counted.
    Other,
}

impl Event {
    /// Decodes a record; `None` for one that is no valid event of the order that its key names.
    pub fn decode(topic: Topic, record: &Record) -> Option<Self> {
        let event = match topic {
            Topic::Transitions => Self::of_transition(events::OrderTransition::decode(&*record.payload).ok()?),
            Topic::Assignments => Self::of_assignment(events::AssignmentEvent::decode(&*record.payload).ok()?),
        };
        event.filter(|event| record.order_id() == Some(event.order_id))
    }

    /// The event of a transition.
    pub fn of_transition(event: events::OrderTransition) -> Option<Self> {
        let time = countable(event.transition_time.as_ref())?;
        Self {
            order_id: Uuid::try_parse(&event.order_id).ok()?,
            version: event.version,
            time,
            fact: Fact::Moved(Moved::of(&event, time)?),
            tenant: event.tenant,
            workflow: event.workflow,
        }
        .checked()
    }

    /// The event of an assignment.
    pub fn of_assignment(event: events::AssignmentEvent) -> Option<Self> {
        let time = countable(event.event_time.as_ref())?;
        let fact = match Job::of(&event, time) {
            Some(job) => Fact::Job { job, courier_id: event.courier_id },
            None => Fact::Other,
        };
        Self {
            order_id: Uuid::try_parse(&event.order_id).ok()?,
            version: event.version,
            tenant: event.tenant,
            workflow: event.workflow,
            time,
            fact,
        }
        .checked()
    }

    /// When the order ended; `None` where this is not its end.
    pub fn end_time(&self) -> Option<OffsetDateTime> {
        matches!(&self.fact, Fact::Moved(moved) if moved.is_end()).then_some(self.time)
    }

    fn checked(self) -> Option<Self> {
        let texts = match &self.fact {
            Fact::Moved(moved) => [&*moved.from_status, &moved.to_status, &moved.currency],
            Fact::Job { courier_id, .. } => [&**courier_id, "", ""],
            Fact::Other => [""; 3],
        };
        // Postgres's texts hold no NUL.
        let is_storable = |text: &str| !text.contains('\0');
        let is_named = !matches!(&self.fact, Fact::Job { courier_id, .. } if courier_id.is_empty());
        let is_valid = self.version > 0 && !self.tenant.is_empty() && is_named;
        (is_valid && [&*self.tenant, &self.workflow].into_iter().chain(texts).all(is_storable)).then_some(self)
    }
}

/// A time in which can be counted.
fn countable(time: Option<&Timestamp>) -> Option<OffsetDateTime> {
    offset_date_time(time?).filter(|time| (1970..=9000).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::damaged;
    use comanda_proto::{Money, events::OrderTransition, v1::Phase, views::timestamp};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn transition() -> OrderTransition {
        OrderTransition {
            order_id: Uuid::nil().to_string(),
            tenant: "default".into(),
            version: 1,
            workflow: "delivery".into(),
            to_status: "received".into(),
            phase: Phase::Active.into(),
            transition_time: Some(timestamp(OffsetDateTime::UNIX_EPOCH)),
            total: Some(Money { currency_code: "UYU".into(), units: 12, nanos: 0 }),
            ..Default::default()
        }
    }

    fn record(payload: Vec<u8>) -> Record {
        Record { topic: "t".into(), offset: 7, key: Uuid::nil().to_string().into(), payload, ..Record::default() }
    }

    fn read(event: &OrderTransition) -> Option<Event> {
        Event::decode(Topic::Transitions, &record(event.encode_to_vec()))
    }

    #[test]
    fn only_what_the_key_names_and_can_be_stored_is_an_event() {
        assert!(read(&transition()).is_some());
        for wrong in [
            OrderTransition { version: 0, ..transition() },
            OrderTransition { order_id: Uuid::max().to_string(), ..transition() },
            OrderTransition { tenant: String::new(), ..transition() },
            OrderTransition { to_status: "a\0b".into(), ..transition() },
            OrderTransition { to_status: String::new(), ..transition() },
            OrderTransition { transition_time: None, ..transition() },
            OrderTransition { transition_time: Some(Timestamp { seconds: -1, nanos: 0 }), ..transition() },
            OrderTransition { phase: i32::MAX, ..transition() },
        ] {
            assert_eq!(read(&wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_record_never_counts_for_another_order(changes in vec(any::<(u16, u8)>(), 1..4), topic in 0_usize..2) {
            let payload = damaged(&transition().encode_to_vec(), &changes);
            let read = Event::decode(Topic::ALL[topic], &record(payload));
            prop_assert!(read.is_none_or(|event| event.order_id == Uuid::nil()));
        }
    }
}
