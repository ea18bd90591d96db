//! An assignment as the API shows it.

use comanda_proto::{v1, views::timestamp};

use crate::model::Assignment;

/// An assignment without its order's number, trip and items.
pub fn message(assignment: &Assignment, courier: v1::Courier) -> v1::Assignment {
    let is_picked_up = assignment.pickup_time.is_some();
    v1::Assignment {
        order_id: assignment.order_id.to_string(),
        attempt: assignment.attempt,
        courier_id: assignment.courier_id.clone(),
        state: assignment.state().into(),
        outcome: assignment.outcome().into(),
        confirmed: assignment.confirm_time.is_some(),
        offer_expire_time: assignment.offered_until.map(timestamp),
        promised_pickup_time: Some(timestamp(assignment.promised_pickup_time)),
        expected_pickup_time: assignment.expected_pickup_time.filter(|_| !is_picked_up).map(timestamp),
        expected_dropoff_time: assignment.expected_dropoff_time.map(timestamp),
        create_time: Some(timestamp(assignment.create_time)),
        allot_time: assignment.allot_time.map(timestamp),
        arrive_time: assignment.arrive_time.map(timestamp),
        pickup_time: assignment.pickup_time.map(timestamp),
        end_time: assignment.ended_at.map(timestamp),
        courier: Some(courier),
        number: 0,
        trip: None,
        items: Vec::new(),
    }
}
