//! What dispatch keeps, and how it becomes lines. Pure.

use comanda_checker::history::{self, What};
use comanda_proto::{
    events::{AssignmentEvent, Step},
    v1::{AssignmentOutcome, AssignmentState, CourierStatus},
};
use prost::Message;
use sqlx::FromRow;
use uuid::Uuid;

use crate::workload::shown;

#[derive(FromRow)]
pub(super) struct CourierRow {
    tenant: String,
    courier_id: String,
    capacity: i32,
    status: i16,
}

impl CourierRow {
    pub(super) fn line(self) -> What {
        let Self { tenant, courier_id, capacity, status } = self;
        let status = shown::courier_status(CourierStatus::try_from(i32::from(status)).unwrap_or_default());
        What::CourierRow(history::CourierRow { tenant, courier_id, capacity, status })
    }
}

#[derive(FromRow)]
pub(super) struct JobRow {
    order_id: Uuid,
    tenant: String,
    state: i16,
    order_version: i64,
    event_version: i64,
}

impl JobRow {
    pub(super) fn line(self) -> What {
        let Self { order_id, tenant, state, order_version, event_version } = self;
        let (order_id, state) = (order_id.to_string(), i32::from(state));
        What::JobRow(history::JobRow { order_id, tenant, state, order_version, event_version })
    }
}

#[derive(FromRow)]
pub(super) struct AssignmentRow {
    order_id: Uuid,
    attempt: i32,
    tenant: String,
    courier_id: String,
    slot: i32,
    state: i16,
    outcome: i16,
    create_time_us: i64,
    allot_time_us: Option<i64>,
    confirm_time_us: Option<i64>,
    pickup_time_us: Option<i64>,
    end_time_us: Option<i64>,
}

impl AssignmentRow {
    pub(super) fn line(self) -> What {
        What::AssignmentRow(history::AssignmentRow {
            order_id: self.order_id.to_string(),
            attempt: self.attempt,
            tenant: self.tenant,
            courier_id: self.courier_id,
            slot: self.slot,
            state: shown::assignment_state(AssignmentState::try_from(i32::from(self.state)).unwrap_or_default()),
            outcome: shown::assignment_outcome(
                AssignmentOutcome::try_from(i32::from(self.outcome)).unwrap_or_default(),
            ),
            create_time_us: self.create_time_us,
            allot_time_us: self.allot_time_us,
            confirm_time_us: self.confirm_time_us,
            pickup_time_us: self.pickup_time_us,
            end_time_us: self.end_time_us,
        })
    }
}

#[derive(FromRow)]
pub(super) struct EventRow {
    order_id: Uuid,
    version: i64,
    tenant: String,
    time_us: i64,
    content: Vec<u8>,
}

impl EventRow {
    pub(super) fn line(self) -> Result<What, prost::DecodeError> {
        let content = event(AssignmentEvent::decode(&*self.content)?);
        Ok(What::AssignmentEventRow(history::AssignmentEvent {
            order_id: self.order_id.to_string(),
            version: self.version,
            tenant: self.tenant,
            time_us: self.time_us,
            ..content
        }))
    }
}

/// An event in the words of a history.
pub(super) fn event(event: AssignmentEvent) -> history::AssignmentEvent {
    let time_us = |time: &Option<prost_types::Timestamp>| time.as_ref().map(shown::microseconds);
    history::AssignmentEvent {
        event: event.r#type().as_str_name().trim_start_matches("ASSIGNMENT_EVENT_TYPE_").to_lowercase(),
        time_us: time_us(&event.event_time).unwrap_or_default(),
        promised_pickup_time_us: time_us(&event.promised_pickup_time),
        allot_time_us: time_us(&event.allot_time),
        pickup_time_us: time_us(&event.pickup_time),
        idle_us: event.idle_duration.map(|idle| idle.seconds * 1_000_000 + i64::from(idle.nanos) / 1000),
        step: event.step.map(|Step { to_status, expected_version, request_id }| history::Step {
            to: to_status,
            expected_version,
            request_id,
        }),
        order_id: event.order_id,
        version: event.version,
        tenant: event.tenant,
        attempt: event.attempt,
        courier_id: event.courier_id,
        workflow: event.workflow,
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::events::AssignmentEventType;

    use super::*;

    #[test]
    fn a_row_and_its_record_become_the_same_event() {
        let content = AssignmentEvent {
            r#type: AssignmentEventType::PickedUp.into(),
            attempt: 2,
            courier_id: "c".into(),
            step: Some(Step { to_status: "on_trip".into(), expected_version: 3, request_id: "r".into() }),
            ..Default::default()
        };
        let (order_id, version, time_us) = (Uuid::from_u128(7), 4, 1_500_000);
        let row = EventRow { order_id, version, tenant: "t".into(), time_us, content: content.encode_to_vec() };
        let record = AssignmentEvent {
            order_id: order_id.to_string(),
            version,
            tenant: "t".into(),
            event_time: Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }),
            ..content
        };
        let What::AssignmentEventRow(kept) = row.line().expect("readable") else { panic!("another line") };
        assert_eq!(kept, event(record));
        assert_eq!(kept.event, "picked_up");
    }
}
