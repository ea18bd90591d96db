//! AssignOrder: an order is given to a courier by hand.

use std::sync::Arc;

use comanda_kit::{access::Scope, errors::ApiError, postgres::StoreError, workflows::Workflows};
use comanda_proto::{
    errors::reason,
    v1::{AssignmentOutcome, AssignmentState, CourierStatus, WorkflowDispatch},
};
use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;
use tonic::Code;
use uuid::Uuid;

use crate::{
    change::By,
    commands::{Outcome, TRIES, contention},
    consumer::Follower,
    decide::{Choice, claim, take_back},
    grid::Grid,
    jobs::{Stage, stage},
    leader::trips::{Trip, trip},
    model::{Case, JobState},
    place::{CourierKey, Point},
    reach::courier_not_found,
    store::{Asked, CourierRow, Store},
    travel::Travel,
    wake::Wake,
};

/// For how long the leader does not look for a courier after an open offer was withdrawn for an assignment by hand.
const HELD: Duration = Duration::seconds(5);

/// Who gets what.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Request {
    pub scope: Scope,
    pub order_id: Uuid,
    pub courier_id: String,
    pub request_id: Option<Uuid>,
}

/// Gives orders to couriers by hand.
#[derive(Clone)]
pub struct Assign {
    store: Store,
    workflows: Workflows,
    follower: Follower,
    grid: Arc<Grid>,
    travel: Arc<dyn Travel>,
    wake: Arc<Wake>,
    relay: Arc<Notify>,
}

impl Assign {
    /// `follower` makes jobs of orders whose records have not come yet; `wake` and `relay` are told of what was written.
    pub fn new(
        store: Store,
        workflows: Workflows,
        follower: Follower,
        (grid, travel): (Arc<Grid>, Arc<dyn Travel>),
        (wake, relay): (Arc<Wake>, Arc<Notify>),
    ) -> Self {
        Self { store, workflows, follower, grid, travel, wake, relay }
    }

    /// Gives an order to a courier.
    pub async fn carry_out(&self, request: &Request) -> Result<Outcome, ApiError> {
        for _ in 0..TRIES {
            if let Some(asked) = self.asked_before(request).await? {
                return self.replay(request, &asked).await;
            }
            let case = self.case(request).await?;
            let courier = self.store.courier(&request.scope, &request.courier_id).await?;
            let courier = courier.ok_or_else(|| courier_not_found(&request.courier_id))?;
            let dispatch = self.dispatch(&case).await?;
            check_waits(&dispatch, &case)?;
            check_has_room(&courier)?;
            if let Some(attempt) = self.attempt(request, &dispatch, &case, &courier).await? {
                self.relay.notify_one();
                self.wake.couriers([CourierKey::new(request.scope.tenant(), &request.courier_id)]);
                let case = self.store.assignment(&request.scope, request.order_id, Some(attempt)).await;
                let case = case.ok().flatten().ok_or_else(ApiError::unavailable)?;
                return Ok(Outcome { case, replayed: false });
            }
        }
        Err(contention(request.order_id))
    }

    async fn asked_before(&self, request: &Request) -> Result<Option<Asked>, StoreError> {
        match request.request_id {
            Some(request_id) => self.store.asked(&request.scope, request_id).await,
            None => Ok(None),
        }
    }

    async fn replay(&self, request: &Request, asked: &Asked) -> Result<Outcome, ApiError> {
        if (asked.order_id, &asked.courier_id) != (request.order_id, &request.courier_id) {
            let message = "this request_id was used for another order or courier";
            return Err(ApiError::new(Code::InvalidArgument, reason::IDEMPOTENCY_MISMATCH, message)
                .with("order_id", asked.order_id));
        }
        let case = self.store.assignment(&request.scope, asked.order_id, Some(asked.attempt)).await?;
        Ok(Outcome { case: case.ok_or_else(ApiError::internal)?, replayed: true })
    }

    /// The order's job; one whose record has not come yet is made here.
    async fn case(&self, request: &Request) -> Result<Case, ApiError> {
        let order_id = request.order_id;
        for _ in 0..2 {
            let found = self.store.cases(&[order_id]).await?.pop();
            if let Some(case) = found.filter(|case| case.job.tenant == request.scope.tenant()) {
                return Ok(case);
            }
            if !self.store.has_order(&request.scope, order_id).await? {
                return Err(ApiError::order_not_found(order_id));
            }
            self.follower.follow(self.store.present(&[order_id]).await?).await?;
        }
        Err(not_waiting(order_id))
    }

    /// Gives the order away if nothing has changed; the number of the assignment.
    async fn attempt(
        &self,
        request: &Request,
        dispatch: &WorkflowDispatch,
        case: &Case,
        courier: &CourierRow,
    ) -> Result<Option<i32>, ApiError> {
        let by = By { actor: request.scope.subject(), reason: "ASSIGNED_BY_HAND" };
        if case.assignment.is_some() {
            let mut change = take_back(dispatch, case, AssignmentOutcome::Withdrawn, by);
            change.excluded = None;
            (change.job.state, change.job.not_before) = (JobState::Held, case.now + HELD);
            self.store.apply(vec![change], None).await?;
            return Ok(None);
        }
        let trips = self.store.trips(&[request.order_id]).await?.pop();
        let trip = trips.and_then(trip).ok_or_else(|| not_waiting(request.order_id))?;
        let choice = self.choice(request, &trip, courier, case.now);
        let claim = crate::store::Claim { request_id: request.request_id, ..claim(dispatch, case, choice, by) };
        let attempt = claim.assignment.attempt;
        let from = [JobState::Held, JobState::Waiting, JobState::Done];
        match self.store.claim(vec![claim], case.now, &from, None).await {
            // The same request_id came by another way at the same time.
            Err(StoreError::Refused(error)) if error.as_database_error().is_some_and(|e| e.is_unique_violation()) => {
                Ok(None)
            }
            made => Ok((!made?.is_empty()).then_some(attempt)),
        }
    }

    /// Where the courier is not known to be anywhere, it is expected at once.
    fn choice(&self, request: &Request, trip: &Trip, courier: &CourierRow, now: OffsetDateTime) -> Choice {
        let key = CourierKey::new(request.scope.tenant(), &request.courier_id);
        let stored = courier.latitude.zip(courier.longitude).and_then(|(lat, lng)| Point::new(lat, lng));
        let place = self.grid.last_seen(&key).map(|seen| seen.point).or(stored);
        let way = place.map_or(0, |place| self.travel.seconds(place, trip.pickup, now.hour()));
        let at = now + Duration::seconds(i64::from(way));
        let pickup = trip.row.start_time.map_or(at, |start| start.max(at));
        let carry = self.travel.seconds(trip.pickup, trip.dropoff, pickup.hour());
        Choice {
            courier_id: request.courier_id.clone(),
            pickup,
            dropoff: pickup + Duration::seconds(i64::from(carry)),
            idle: courier.idle_since.map(|since| now - since),
            offered_until: None,
        }
    }

    async fn dispatch(&self, case: &Case) -> Result<WorkflowDispatch, ApiError> {
        let workflow = self.workflows.get(&case.job.workflow, case.job.workflow_revision).await?;
        workflow.dispatch.clone().ok_or_else(|| not_waiting(case.job.order_id))
    }
}

fn check_waits(dispatch: &WorkflowDispatch, case: &Case) -> Result<(), ApiError> {
    let order_id = case.job.order_id;
    let active = case.assignment.as_ref().filter(|assignment| assignment.state() == AssignmentState::Active);
    if let Some(active) = active {
        let message = "another courier has the order: withdraw it first";
        return Err(ApiError::new(Code::FailedPrecondition, reason::ALREADY_ALLOTTED, message)
            .with("order_id", order_id)
            .with("attempt", active.attempt));
    }
    if stage(dispatch, &case.job.order_status) == Stage::Wanted { Ok(()) } else { Err(not_waiting(order_id)) }
}

fn check_has_room(courier: &CourierRow) -> Result<(), ApiError> {
    let has_room = courier.open_assignments < i64::from(courier.registered.capacity);
    if has_room && courier.status == CourierStatus::Available as i16 {
        return Ok(());
    }
    let message = "the courier is not available, or has as many jobs as it can have";
    Err(ApiError::new(Code::FailedPrecondition, reason::COURIER_FULL, message)
        .with("courier_id", &courier.registered.courier_id))
}

fn not_waiting(order_id: Uuid) -> ApiError {
    ApiError::new(Code::FailedPrecondition, reason::NOT_WAITING, "the order needs no courier now")
        .with("order_id", order_id)
}
