//! The calls of dispatch.

use comanda_proto::v1::{
    AcceptOfferRequest, AssignOrderRequest, CompleteAssignmentRequest, Courier, DeclineOfferRequest,
    GetAssignmentRequest, ListAssignmentsRequest, ListCouriersRequest, Location, MarkArrivedRequest,
    MarkPickedUpRequest, RegisterCourierRequest, ReportLocationRequest, SetCourierStatusRequest,
    StreamLocationsRequest, WatchCourierRequest, WithdrawAssignmentRequest,
};
use prost::Message;
use rand::{RngExt, rngs::StdRng};

use super::{
    DISPATCH, Method, method,
    values::{id, number32, position, some, text, time, token},
};

pub(super) const METHODS: [Method; 15] = [
    method::<RegisterCourierRequest>(DISPATCH, "/comanda.v1.DispatchService/RegisterCourier", register),
    method::<SetCourierStatusRequest>(DISPATCH, "/comanda.v1.DispatchService/SetCourierStatus", set_status),
    method::<StreamLocationsRequest>(DISPATCH, "/comanda.v1.DispatchService/StreamLocations", locate),
    method::<ReportLocationRequest>(DISPATCH, "/comanda.v1.DispatchService/ReportLocation", locate),
    method::<ListCouriersRequest>(DISPATCH, "/comanda.v1.DispatchService/ListCouriers", list_couriers),
    method::<GetAssignmentRequest>(DISPATCH, "/comanda.v1.DispatchService/GetAssignment", get),
    method::<ListAssignmentsRequest>(DISPATCH, "/comanda.v1.DispatchService/ListAssignments", list_assignments),
    method::<AssignOrderRequest>(DISPATCH, "/comanda.v1.DispatchService/AssignOrder", assign),
    method::<AcceptOfferRequest>(DISPATCH, "/comanda.v1.DispatchService/AcceptOffer", step),
    method::<DeclineOfferRequest>(DISPATCH, "/comanda.v1.DispatchService/DeclineOffer", give_back),
    method::<WithdrawAssignmentRequest>(DISPATCH, "/comanda.v1.DispatchService/WithdrawAssignment", give_back),
    method::<MarkArrivedRequest>(DISPATCH, "/comanda.v1.DispatchService/MarkArrived", step),
    method::<MarkPickedUpRequest>(DISPATCH, "/comanda.v1.DispatchService/MarkPickedUp", step),
    method::<CompleteAssignmentRequest>(DISPATCH, "/comanda.v1.DispatchService/CompleteAssignment", step),
    method::<WatchCourierRequest>(DISPATCH, "/comanda.v1.DispatchService/WatchCourier", watch),
];

fn courier_id(rng: &mut StdRng) -> String {
    if rng.random_bool(0.7) { format!("courier-{}", rng.random_range(0..100)) } else { text(rng) }
}

fn register(rng: &mut StdRng) -> Vec<u8> {
    let courier = Courier {
        courier_id: courier_id(rng),
        name: text(rng),
        vehicle: text(rng),
        plate: text(rng),
        vehicle_kind: text(rng),
        zone: text(rng),
        capacity: number32(rng),
        max_load: number32(rng),
        shift_end_time: time(rng),
    };
    RegisterCourierRequest { courier: rng.random_bool(0.95).then_some(courier) }.encode_to_vec()
}

fn set_status(rng: &mut StdRng) -> Vec<u8> {
    let (courier_id, status, shift_end_time) = (courier_id(rng), number32(rng), time(rng));
    SetCourierStatusRequest { courier_id, status, shift_end_time }.encode_to_vec()
}

/// Both calls have the same fields.
fn locate(rng: &mut StdRng) -> Vec<u8> {
    let accuracy_meters = if rng.random_bool(0.9) { rng.random_range(0.0..300.0) } else { f32::NAN };
    let position = rng.random_bool(0.95).then(|| position(rng));
    let location = Location { position, record_time: time(rng), accuracy_meters };
    ReportLocationRequest { courier_id: courier_id(rng), location: rng.random_bool(0.95).then_some(location) }
        .encode_to_vec()
}

fn list_couriers(rng: &mut StdRng) -> Vec<u8> {
    let wild = rng.random_bool(0.5);
    let filter = ListCouriersRequest {
        page_size: 0,
        page_token: String::new(),
        statuses: if wild { some(rng, 20, number32) } else { Vec::new() },
        zone: if wild { text(rng) } else { String::new() },
    };
    ListCouriersRequest { page_token: token(&filter, rng), page_size: number32(rng), ..filter }.encode_to_vec()
}

fn get(rng: &mut StdRng) -> Vec<u8> {
    GetAssignmentRequest { order_id: id(rng), attempt: number32(rng), view: number32(rng) }.encode_to_vec()
}

fn list_assignments(rng: &mut StdRng) -> Vec<u8> {
    let wild = rng.random_bool(0.5);
    let filter = ListAssignmentsRequest {
        page_size: 0,
        page_token: String::new(),
        order_id: if wild { id(rng) } else { String::new() },
        courier_id: if wild { courier_id(rng) } else { String::new() },
        open_only: rng.random(),
        view: number32(rng),
    };
    ListAssignmentsRequest { page_token: token(&filter, rng), page_size: number32(rng), ..filter }.encode_to_vec()
}

fn assign(rng: &mut StdRng) -> Vec<u8> {
    AssignOrderRequest { order_id: id(rng), courier_id: courier_id(rng), request_id: id(rng) }.encode_to_vec()
}

/// All of these calls have the same fields.
fn step(rng: &mut StdRng) -> Vec<u8> {
    AcceptOfferRequest { order_id: id(rng), attempt: number32(rng) }.encode_to_vec()
}

fn give_back(rng: &mut StdRng) -> Vec<u8> {
    DeclineOfferRequest { order_id: id(rng), attempt: number32(rng), reason: text(rng) }.encode_to_vec()
}

fn watch(rng: &mut StdRng) -> Vec<u8> {
    // Of nobody: a stream that opens is no bad call.
    let courier_id = if rng.random_bool(0.5) { format!("nobody-{}", rng.random::<u32>()) } else { text(rng) };
    WatchCourierRequest { courier_id }.encode_to_vec()
}
