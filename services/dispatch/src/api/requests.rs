//! Requests of the service, checked field by field.

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    page,
};
use comanda_proto::{
    access::Role,
    v1::{
        AssignOrderRequest, Courier, CourierStatus, GetAssignmentRequest, ListAssignmentsRequest, ListCouriersRequest,
        OrderView, RegisterCourierRequest, SetCourierStatusRequest,
    },
    views::offset_date_time,
};
use prost::Message;
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    assign,
    commands::{self, Action},
    reach,
    store::{Below, Listed, Registered},
};

/// The longest key of a courier, in characters.
const MOST_ID: usize = 64;
/// The longest kind of vehicle or zone.
const MOST_WORD: usize = 32;

/// Checks what the business says of a courier.
pub fn register(request: RegisterCourierRequest) -> Result<Registered, ApiError> {
    let mut violations = Violations::default();
    violations.require(request.courier.is_some(), "courier", "is required");
    let courier = request.courier.unwrap_or_default();
    let Courier { courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, shift_end_time } = courier;
    courier_key(&mut violations, "courier.courier_id", &courier_id);
    violations.visible_text("courier.name", &name, 1, 100);
    violations.visible_text("courier.vehicle", &vehicle, 0, 100);
    violations.visible_text("courier.plate", &plate, 0, 20);
    word(&mut violations, "courier.vehicle_kind", &vehicle_kind);
    word(&mut violations, "courier.zone", &zone);
    violations.require((0..=20).contains(&capacity), "courier.capacity", "must be 0 to 20");
    violations.require((0..=1000).contains(&max_load), "courier.max_load", "must be 0 to 1,000");
    let shift_end = time(&mut violations, "courier.shift_end_time", shift_end_time.as_ref());
    violations.check()?;
    let capacity = if capacity == 0 { 1 } else { capacity };
    let max_load = if max_load == 0 { 1000 } else { max_load };
    Ok(Registered { courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, shift_end })
}

fn courier_key(violations: &mut Violations, field: &str, courier_id: &str) {
    let is_key = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    let holds = (1..=MOST_ID).contains(&courier_id.len()) && courier_id.chars().all(is_key);
    violations.require(holds, field, "must be 1 to 64 of letters, digits, \".\", \"-\" and \"_\" of ASCII");
}

fn word(violations: &mut Violations, field: &str, word: &str) {
    let is_of_word =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "-_".contains(character);
    let holds = word.len() <= MOST_WORD && word.chars().all(is_of_word);
    violations.require(holds, field, "must be at most 32 of a-z, 0-9, - and _");
}

fn time(violations: &mut Violations, field: &str, time: Option<&Timestamp>) -> Option<OffsetDateTime> {
    let time = time?;
    // Postgres' times reach further than this, and so do those of every client.
    let parsed = offset_date_time(time).filter(|time| (1..=9999).contains(&time.year()));
    violations.require(parsed.is_some(), field, "must be a time of the years 1 to 9999");
    parsed
}

/// Whether a courier takes jobs, and until when.
#[derive(Debug)]
pub struct NewStatus {
    pub courier_id: String,
    pub status: CourierStatus,
    pub shift_end: Option<OffsetDateTime>,
}

pub fn new_status(scope: &Scope, request: SetCourierStatusRequest) -> Result<NewStatus, ApiError> {
    let mut violations = Violations::default();
    let status = CourierStatus::try_from(request.status).unwrap_or_default();
    courier_key(&mut violations, "courier_id", &request.courier_id);
    let is_status = status != CourierStatus::Unspecified;
    violations.require(is_status, "status", "must be OFFLINE, AVAILABLE or PAUSED");
    let shift_end = time(&mut violations, "shift_end_time", request.shift_end_time.as_ref());
    violations.check()?;
    reach::courier(scope, &request.courier_id)?;
    Ok(NewStatus { courier_id: request.courier_id, status, shift_end })
}

/// Which couriers.
#[derive(Debug)]
pub struct CouriersPage {
    pub statuses: Vec<i16>,
    pub zone: String,
    pub after: String,
    pub limit: i64,
    /// What a token of this list is valid for.
    pub filter: ListCouriersRequest,
}

/// Where a page of couriers ended.
#[derive(Clone, PartialEq, Message)]
pub struct CouriersPosition {
    #[prost(string, tag = "1")]
    pub courier_id: String,
}

pub fn couriers_page(scope: &Scope, request: ListCouriersRequest) -> Result<CouriersPage, ApiError> {
    let mut violations = Violations::default();
    let limit = page::size(&mut violations, request.page_size, 100, 500);
    let statuses: Vec<_> =
        request.statuses.iter().map(|status| CourierStatus::try_from(*status).unwrap_or_default() as i16).collect();
    let are_statuses = !statuses.contains(&(CourierStatus::Unspecified as i16)) && statuses.len() <= 10;
    violations.require(are_statuses, "statuses", "must each be OFFLINE, AVAILABLE or PAUSED, at most 10 of them");
    word(&mut violations, "zone", &request.zone);
    violations.check()?;
    let filter = ListCouriersRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let position: Option<CouriersPosition> = page::position(scope, &filter, &request.page_token)?;
    let after = position.map(|position| position.courier_id).unwrap_or_default();
    // A token is not signed, and Postgres' texts hold no NUL.
    if after.contains(char::is_control) {
        return Err(page::bad_token());
    }
    Ok(CouriersPage { statuses, zone: request.zone, after, limit, filter })
}

/// Which assignment, and how much of it.
#[derive(Debug)]
pub struct Which {
    pub order_id: Uuid,
    pub attempt: Option<i32>,
    pub is_full: bool,
}

pub fn which(request: &GetAssignmentRequest) -> Result<Which, ApiError> {
    let mut violations = Violations::default();
    let order_id = violations.uuid("order_id", &request.order_id);
    violations.require(request.attempt >= 0, "attempt", "must be 0 or more");
    let is_full = view(&mut violations, request.view);
    violations.check()?;
    Ok(Which { order_id, attempt: Some(request.attempt).filter(|attempt| *attempt > 0), is_full })
}

fn view(violations: &mut Violations, view: i32) -> bool {
    let known = OrderView::try_from(view);
    violations.require(known.is_ok(), "view", "must be ORDER_VIEW_BASIC or ORDER_VIEW_FULL");
    known == Ok(OrderView::Full)
}

/// Which assignments.
#[derive(Debug)]
pub struct AssignmentsPage {
    pub listed: Listed,
    pub limit: i64,
    pub is_full: bool,
    /// What a token of this list is valid for.
    pub filter: ListAssignmentsRequest,
}

/// Where a page of assignments ended.
#[derive(Clone, PartialEq, Message)]
pub struct AssignmentsPosition {
    #[prost(message, tag = "1")]
    pub create_time: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub order_id: String,
    #[prost(int32, tag = "3")]
    pub attempt: i32,
}

pub fn assignments_page(scope: &Scope, request: ListAssignmentsRequest) -> Result<AssignmentsPage, ApiError> {
    let mut violations = Violations::default();
    let limit = page::size(&mut violations, request.page_size, 50, 500);
    let order_id = violations.optional_uuid("order_id", &request.order_id);
    if !request.courier_id.is_empty() {
        courier_key(&mut violations, "courier_id", &request.courier_id);
    }
    let is_full = view(&mut violations, request.view);
    violations.check()?;
    let courier_id = reached(scope, &request.courier_id)?;
    let filter = ListAssignmentsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let below = page::position(scope, &filter, &request.page_token)?.map(below).transpose()?;
    let listed = Listed { order_id, courier_id, open_only: request.open_only, below };
    Ok(AssignmentsPage { listed, limit, is_full, filter })
}

/// The courier that is asked for; a courier reaches itself alone.
fn reached(scope: &Scope, courier_id: &str) -> Result<Option<String>, ApiError> {
    match (scope.role(), courier_id) {
        (Role::Courier, "") => Ok(Some(scope.subject().to_owned())),
        (_, "") => Ok(None),
        (_, courier_id) => reach::courier(scope, courier_id).map(|_| Some(courier_id.to_owned())),
    }
}

fn below(position: AssignmentsPosition) -> Result<Below, ApiError> {
    let create_time = position.create_time.as_ref().and_then(offset_date_time).ok_or_else(page::bad_token)?;
    let order_id = Uuid::try_parse(&position.order_id).map_err(|_| page::bad_token())?;
    Ok((create_time, order_id, position.attempt))
}

pub fn assign(scope: Scope, request: AssignOrderRequest) -> Result<assign::Request, ApiError> {
    let mut violations = Violations::default();
    let order_id = violations.uuid("order_id", &request.order_id);
    courier_key(&mut violations, "courier_id", &request.courier_id);
    let request_id = violations.request_id("request_id", &request.request_id);
    violations.check()?;
    Ok(assign::Request { scope, order_id, courier_id: request.courier_id, request_id })
}

pub fn command(
    scope: Scope,
    action: Action,
    order_id: &str,
    attempt: i32,
    reason: String,
) -> Result<commands::Request, ApiError> {
    let mut violations = Violations::default();
    let order_id = violations.uuid("order_id", order_id);
    violations.require(attempt > 0, "attempt", "must be 1 or more");
    violations.text("reason", &reason, 0, 500);
    violations.check()?;
    Ok(commands::Request { scope, order_id, attempt, action, reason })
}
