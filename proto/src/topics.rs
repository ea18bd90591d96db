//! The Kafka topics: name, key, payload, writer and readers of each.
//!
//! | topic | key | payload | written by | read by |
//! |---|---|---|---|---|
//! | `comanda.orders` | order id as text | [`OrderPlaced`] | ordering | state-machine |
//! | `comanda.order-transitions` | order id as text | [`OrderTransition`] | state-machine | notification (watch, mail), dispatch, analytics |
//! | `comanda.assignments` | order id as text | [`AssignmentEvent`] | dispatch | state-machine, notification (watch), analytics |
//! | `comanda.courier-locations` | courier id | [`CourierLocation`] | dispatch | dispatch, notification (watch) |
//!
//! Records are CloudEvents in Kafka's binary mode: the attributes are headers, the payload is bare protobuf. `proto/asyncapi.yaml` describes
//! the topics for readers outside; it is made from what stands here.

use std::{borrow::Cow, time::Duration};

use crate::events::{AssignmentEvent, CourierLocation, OrderPlaced, OrderTransition};

/// Before the name of every topic, unless a setting says otherwise.
pub const DEFAULT_PREFIX: &str = "comanda.";

/// Orders that were accepted: one record an order.
pub const ORDERS: &str = "orders";

/// Everything that happened to orders: one record a transition.
pub const ORDER_TRANSITIONS: &str = "order-transitions";

/// Everything that happened to assignments of couriers: one record an event.
pub const ASSIGNMENTS: &str = "assignments";

/// Where couriers are: at most one record a second for each.
pub const COURIER_LOCATIONS: &str = "courier-locations";

/// Every topic.
pub const ALL: [&str; 4] = [ORDERS, ORDER_TRANSITIONS, ASSIGNMENTS, COURIER_LOCATIONS];

/// For how long a topic keeps its records. Where people are is nobody's business an hour later; a compacted topic would keep each
/// courier's last place for ever.
pub fn retention(topic: &str) -> Duration {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    if topic == COURIER_LOCATIONS { HOUR } else { 7 * 24 * HOUR }
}

/// Partitions of a topic, unless a setting says otherwise. Comanda never changes the number once the topic exists.
///
/// An operator who raises it moves keys: later records of an order may be in another partition than its earlier ones. Kafka keeps the order
/// within a partition only, so for orders that were under way a reader may get a version before an earlier one. Readers that apply
/// only the next version (state machine, mail, WatchOrder) read the gap from the history and miss nothing. WatchOrders keeps the versions
/// of an order rising, so it may leave out a version that comes after a higher one. Members of a consumer group get the new partitions within
/// `topic.metadata.refresh.interval.ms` (30 s), watches within 15 s. Raise the number only while few orders are active.
pub const DEFAULT_PARTITIONS: i32 = 6;

/// The header of a record whose order was placed by a traced call: that call's place in its trace (<https://www.w3.org/TR/trace-context/>). All
/// records of [`ORDERS`] and [`ORDER_TRANSITIONS`] about the order have it, also those that are published again; those of other orders do not.
pub const TRACEPARENT: &str = "traceparent";

/// Whether records of a topic may have the header [`TRACEPARENT`].
pub fn may_be_traced(topic: &str) -> bool {
    matches!(topic, ORDERS | ORDER_TRANSITIONS)
}

/// A message that travels as a record of a topic.
pub trait Event: prost::Message + Default {
    /// Name of its topic, without the prefix.
    const TOPIC: &'static str;
    /// `ce_type`: what kind of event this is.
    const TYPE: &'static str;
    /// `ce_source`: who publishes it.
    const SOURCE: &'static str;
    /// `ce_id`: together with the source it identifies the event, also where its record is repeated.
    fn id(&self) -> String;
    /// `ce_subject` and the record's key: the order, or the courier.
    fn subject(&self) -> &str;
    /// `ce_tenant`: whose order or courier it is.
    fn tenant(&self) -> &str;
    /// `ce_time`: when it happened.
    fn time(&self) -> Option<&prost_types::Timestamp>;
}

/// The headers of an event's record: CloudEvents 1.0 in Kafka's binary mode
/// (<https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md>).
pub fn headers<E: Event>(event: &E) -> [(&'static str, Cow<'_, str>); 8] {
    [
        ("ce_specversion", "1.0".into()),
        ("ce_id", event.id().into()),
        ("ce_type", E::TYPE.into()),
        ("ce_source", E::SOURCE.into()),
        ("ce_time", event.time().map(ToString::to_string).unwrap_or_default().into()),
        ("ce_subject", event.subject().into()),
        ("ce_tenant", event.tenant().into()),
        ("content-type", "application/protobuf".into()),
    ]
}

impl Event for OrderPlaced {
    const TOPIC: &'static str = ORDERS;
    const TYPE: &'static str = "comanda.events.v1.OrderPlaced";
    const SOURCE: &'static str = "/comanda/ordering";

    fn id(&self) -> String {
        format!("{}/placed", self.order_id)
    }

    fn subject(&self) -> &str {
        &self.order_id
    }

    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn time(&self) -> Option<&prost_types::Timestamp> {
        self.create_time.as_ref()
    }
}

impl Event for OrderTransition {
    const TOPIC: &'static str = ORDER_TRANSITIONS;
    const TYPE: &'static str = "comanda.events.v1.OrderTransition";
    const SOURCE: &'static str = "/comanda/state-machine";

    fn id(&self) -> String {
        format!("{}/{}", self.order_id, self.version)
    }

    fn subject(&self) -> &str {
        &self.order_id
    }

    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn time(&self) -> Option<&prost_types::Timestamp> {
        self.transition_time.as_ref()
    }
}

impl Event for AssignmentEvent {
    const TOPIC: &'static str = ASSIGNMENTS;
    const TYPE: &'static str = "comanda.events.v1.AssignmentEvent";
    const SOURCE: &'static str = "/comanda/dispatch";

    fn id(&self) -> String {
        format!("{}/assignment/{}", self.order_id, self.version)
    }

    fn subject(&self) -> &str {
        &self.order_id
    }

    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn time(&self) -> Option<&prost_types::Timestamp> {
        self.event_time.as_ref()
    }
}

impl Event for CourierLocation {
    const TOPIC: &'static str = COURIER_LOCATIONS;
    const TYPE: &'static str = "comanda.events.v1.CourierLocation";
    const SOURCE: &'static str = "/comanda/dispatch";

    fn id(&self) -> String {
        format!("{}/{}", self.courier_id, self.record_time.map(|time| time.to_string()).unwrap_or_default())
    }

    fn subject(&self) -> &str {
        &self.courier_id
    }

    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn time(&self) -> Option<&prost_types::Timestamp> {
        self.record_time.as_ref()
    }
}
