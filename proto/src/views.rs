//! The database views that one service publishes for the others, and how their rows become messages.
//!
//! A service reads another's data only through these. Their SQL is in `migrations/`.
//!
//! | view | owner | row |
//! |---|---|---|
//! | `ordering.order_details` | ordering | [`OrderRow`]: an order with its state |
//! | `ordering.order_facts` | ordering | what never changes of an order, without names and addresses |
//! | `ordering.order_contacts` | ordering | [`ContactRow`]: whom to write to, about what |
//! | `state_machine.order_states` | state-machine | state of each adopted order |
//! | `state_machine.order_history` | state-machine | [`TransitionRow`]: every transition, version 1 from an order's first moment on |
//! | `state_machine.workflow_definitions` | state-machine | [`WorkflowRow`] |
//! | `ordering.order_trips` | ordering | [`TripRow`]: where an order with a trip is picked up and goes: coordinates, no addresses |
//! | `ordering.order_contents` | ordering | what a courier carries, and where to: an [`Order`] with items and trip |
//! | `dispatch.order_couriers` | dispatch | [`CourierRow`]: who has an order, for its mails, watchers and the commands of couriers |
//! | `dispatch.assignment_history` | dispatch | every assignment event, as it is published |
//! | `ordering.log_epoch`, `state_machine.log_epoch`, `dispatch.log_epoch` | each its own | epoch of the service's topic: rises when the topic's log was lost |

use prost::{DecodeError, Message};
use prost_types::Timestamp;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Money, events,
    v1::{Customer, Item, Order, OrderTransition, OrderView, Workflow},
};

/// A row of `ordering.order_details`.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct OrderRow {
    pub order_id: Uuid,
    pub tenant: String,
    pub number: i64,
    pub customer_id: String,
    pub customer_name: String,
    pub email: String,
    pub locale: String,
    /// An [`Order`] that holds only items, total, labels and trip.
    pub content: Vec<u8>,
    pub workflow: String,
    pub workflow_revision: i32,
    pub create_time: OffsetDateTime,
    pub status: String,
    pub phase: i16,
    pub version: i64,
    pub status_time: OffsetDateTime,
    pub next_transition_time: Option<OffsetDateTime>,
}

impl OrderRow {
    /// The message that every service shows. Fails only on content that no version of ordering wrote.
    pub fn into_order(self, view: OrderView) -> Result<Order, DecodeError> {
        let mut content = Order::decode(&*self.content)?;
        if let (OrderView::Basic | OrderView::Unspecified, Some(trip)) = (view, &mut content.trip) {
            (trip.pickup, trip.dropoff) = (None, None);
        }
        let customer = match view {
            OrderView::Full => Customer {
                customer_id: self.customer_id,
                name: self.customer_name,
                email: self.email,
                locale: self.locale,
            },
            OrderView::Basic | OrderView::Unspecified => {
                Customer { customer_id: self.customer_id, ..Customer::default() }
            }
        };
        Ok(Order {
            order_id: self.order_id.to_string(),
            number: self.number,
            customer: Some(customer),
            workflow: self.workflow,
            workflow_revision: self.workflow_revision,
            status: self.status,
            phase: self.phase.into(),
            version: self.version,
            create_time: Some(timestamp(self.create_time)),
            status_time: Some(timestamp(self.status_time)),
            next_transition_time: self.next_transition_time.map(timestamp),
            ..content
        })
    }
}

/// A row of `ordering.order_contacts`.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct ContactRow {
    pub order_id: Uuid,
    pub tenant: String,
    pub number: i64,
    pub customer_name: String,
    pub email: String,
    pub locale: String,
    pub content: Vec<u8>,
    pub workflow: String,
    pub workflow_revision: i32,
    /// The trace of the call that placed the order, if that was traced.
    pub traceparent: Option<String>,
}

impl ContactRow {
    /// What was ordered.
    pub fn items(&self) -> Result<Vec<Item>, DecodeError> {
        Ok(Order::decode(&*self.content)?.items)
    }
}

/// A row of `ordering.order_trips`. Its coordinates are personal: never to be published or logged.
#[derive(Clone, FromRow)]
#[allow(missing_docs)]
pub struct TripRow {
    pub order_id: Uuid,
    pub tenant: String,
    pub pickup_latitude: f64,
    pub pickup_longitude: f64,
    pub dropoff_latitude: f64,
    pub dropoff_longitude: f64,
    pub load: i32,
    /// Empty: any.
    pub vehicle_kind: String,
    /// Empty: any.
    pub zone: String,
    /// When the pickup is wanted; `None` as soon as possible.
    pub start_time: Option<OffsetDateTime>,
}

/// Without the coordinates: what is shown for debugging ends in logs.
impl std::fmt::Debug for TripRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TripRow").field("order_id", &self.order_id).finish_non_exhaustive()
    }
}

/// A row of `dispatch.order_couriers`: the active assignment of an order. Whether it is confirmed is what the order's status says: a reader may
/// see that status before dispatch has.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct CourierRow {
    pub order_id: Uuid,
    pub tenant: String,
    pub attempt: i32,
    pub courier_id: String,
    pub name: String,
    pub vehicle: String,
    pub plate: String,
    pub promised_pickup_time: OffsetDateTime,
    pub expected_pickup_time: Option<OffsetDateTime>,
    pub expected_dropoff_time: Option<OffsetDateTime>,
    /// When dispatch saw that the order's status says so.
    pub confirm_time: Option<OffsetDateTime>,
    /// When it was picked up.
    pub pickup_time: Option<OffsetDateTime>,
}

/// The columns of a [`TransitionRow`], for a statement that calls the view `state_machine.order_history` `h`.
///
/// Statements name them: a view may gain a column while a running program keeps prepared statements.
#[macro_export]
macro_rules! transition_columns {
    () => {
        "h.order_id, h.version, h.tenant, h.number, h.customer_id, h.workflow, h.workflow_revision, h.from_status, h.from_time, \
         h.to_status, h.phase, h.transition_time, h.trigger, h.actor, h.reason, h.next_transition_time, h.currency, h.total_units, \
         h.total_nanos, h.item_count, h.traceparent"
    };
}

/// A row of `state_machine.order_history`.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct TransitionRow {
    pub order_id: Uuid,
    pub version: i64,
    pub tenant: String,
    pub number: i64,
    pub customer_id: String,
    pub workflow: String,
    pub workflow_revision: i32,
    pub from_status: String,
    pub from_time: Option<OffsetDateTime>,
    pub to_status: String,
    pub phase: i16,
    pub transition_time: OffsetDateTime,
    pub trigger: i16,
    pub actor: String,
    pub reason: String,
    pub next_transition_time: Option<OffsetDateTime>,
    pub currency: String,
    pub total_units: i64,
    pub total_nanos: i32,
    pub item_count: i32,
    /// The trace of the call that placed the order. Not part of the event: a header of its record. Statements for callers do not ask for it.
    #[sqlx(default)]
    pub traceparent: Option<String>,
}

impl From<TransitionRow> for events::OrderTransition {
    fn from(row: TransitionRow) -> Self {
        Self {
            order_id: row.order_id.to_string(),
            version: row.version,
            number: row.number,
            customer_id: row.customer_id,
            workflow: row.workflow,
            workflow_revision: row.workflow_revision,
            from_status: row.from_status,
            to_status: row.to_status,
            phase: row.phase.into(),
            transition_time: Some(timestamp(row.transition_time)),
            trigger: row.trigger.into(),
            actor: row.actor,
            reason: row.reason,
            next_transition_time: row.next_transition_time.map(timestamp),
            tenant: row.tenant,
            from_time: row.from_time.map(timestamp),
            total: Some(Money { currency_code: row.currency, units: row.total_units, nanos: row.total_nanos }),
            item_count: row.item_count,
        }
    }
}

impl From<TransitionRow> for OrderTransition {
    fn from(row: TransitionRow) -> Self {
        events::OrderTransition::from(row).into()
    }
}

/// An event as histories and watches show it: everything but the tenant.
impl From<events::OrderTransition> for OrderTransition {
    fn from(event: events::OrderTransition) -> Self {
        Self {
            order_id: event.order_id,
            version: event.version,
            number: event.number,
            customer_id: event.customer_id,
            workflow: event.workflow,
            workflow_revision: event.workflow_revision,
            from_status: event.from_status,
            to_status: event.to_status,
            phase: event.phase,
            transition_time: event.transition_time,
            trigger: event.trigger,
            actor: event.actor,
            reason: event.reason,
            next_transition_time: event.next_transition_time,
            from_time: event.from_time,
            total: event.total,
            item_count: event.item_count,
        }
    }
}

/// A row of `state_machine.workflow_definitions`.
#[derive(Clone, Debug, FromRow)]
pub struct WorkflowRow {
    /// Name of the workflow.
    pub name: String,
    /// From 1.
    pub revision: i32,
    /// A [`Workflow`].
    pub definition: Vec<u8>,
    /// Whether new orders get this revision.
    pub current: bool,
}

impl WorkflowRow {
    /// The definition with its name and revision.
    pub fn into_workflow(self) -> Result<Workflow, DecodeError> {
        Ok(Workflow { name: self.name, revision: self.revision, ..Workflow::decode(&*self.definition)? })
    }
}

/// A time of the database as protobuf has it.
pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond().cast_signed() }
}

/// A time of a caller as the database has it; `None` where it lies outside years -9999 to 9999 or its nanos are no nanos.
pub fn offset_date_time(time: &Timestamp) -> Option<OffsetDateTime> {
    let nanos = u32::try_from(time.nanos).ok()?;
    OffsetDateTime::from_unix_timestamp(time.seconds).ok()?.replace_nanosecond(nanos).ok()
}

#[cfg(test)]
mod tests {
    use crate::v1::{Place, Trip};

    use super::*;

    #[test]
    fn the_places_of_a_trip_are_shown_in_the_full_view_only() {
        let place = Some(Place { address: "Av. Italia 1234".into(), ..Place::default() });
        let trip = Trip { pickup: place.clone(), dropoff: place, load: 2, ..Trip::default() };
        let row = OrderRow {
            order_id: Uuid::nil(),
            tenant: "default".into(),
            number: 1,
            customer_id: "c".into(),
            customer_name: String::new(),
            email: String::new(),
            locale: String::new(),
            content: Order { trip: Some(trip.clone()), ..Order::default() }.encode_to_vec(),
            workflow: "ride".into(),
            workflow_revision: 1,
            create_time: OffsetDateTime::UNIX_EPOCH,
            status: "requested".into(),
            phase: 1,
            version: 1,
            status_time: OffsetDateTime::UNIX_EPOCH,
            next_transition_time: None,
        };
        let shown = |view| row.clone().into_order(view).expect("decodes").trip.expect("has one");
        assert_eq!(shown(OrderView::Full), trip);
        let bare = Trip { load: 2, ..Trip::default() };
        assert_eq!((shown(OrderView::Basic), shown(OrderView::Unspecified)), (bare.clone(), bare));
    }
}
