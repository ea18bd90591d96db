//! What is read, as the API shows it.

use std::collections::HashMap;

use comanda_kit::postgres::StoreError;
use comanda_proto::{
    LatLng,
    v1::{self, CourierState, Order},
    views::timestamp,
};
use prost::Message;
use uuid::Uuid;

use crate::{
    model::{Assignment, Case},
    shown::message,
    store::{Content, CourierRow},
};

/// A courier as it is now.
pub fn courier(row: CourierRow) -> CourierState {
    let CourierRow { registered: courier, status, open_assignments, latitude, longitude, position_time, .. } = row;
    CourierState {
        courier: Some(v1::Courier {
            courier_id: courier.courier_id,
            name: courier.name,
            vehicle: courier.vehicle,
            plate: courier.plate,
            vehicle_kind: courier.vehicle_kind,
            zone: courier.zone,
            capacity: courier.capacity,
            max_load: courier.max_load,
            shift_end_time: courier.shift_end.map(timestamp),
        }),
        status: status.into(),
        open_assignments: i32::try_from(open_assignments).unwrap_or(i32::MAX),
        position: latitude.zip(longitude).map(|(latitude, longitude)| LatLng { latitude, longitude }),
        position_time: position_time.map(timestamp),
    }
}

/// Couriers by key, of whom only what customers see is shown.
pub type Couriers = HashMap<String, CourierRow>;
/// What is carried, by order.
pub type Contents = HashMap<Uuid, Content>;

/// An assignment with its courier as customers see it.
pub fn assignment(case: &Case, couriers: &Couriers, contents: &Contents) -> Result<Option<v1::Assignment>, StoreError> {
    let Some(assignment) = &case.assignment else { return Ok(None) };
    let content = contents.get(&case.job.order_id).map(|content| Order::decode(&*content.content)).transpose()?;
    let content = content.unwrap_or_default();
    Ok(Some(v1::Assignment {
        number: case.job.number,
        trip: content.trip,
        items: content.items,
        ..message(assignment, shown_courier(assignment, couriers))
    }))
}

fn shown_courier(assignment: &Assignment, couriers: &Couriers) -> v1::Courier {
    let courier_id = assignment.courier_id.clone();
    match couriers.get(&courier_id).map(|row| row.registered.clone()) {
        Some(courier) => v1::Courier {
            courier_id,
            name: courier.name,
            vehicle: courier.vehicle,
            plate: courier.plate,
            ..v1::Courier::default()
        },
        None => v1::Courier { courier_id, ..v1::Courier::default() },
    }
}
