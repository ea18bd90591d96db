//! DispatchService: checked requests in, commands and lists out.

mod messages;
mod requests;

use std::{collections::HashMap, sync::Arc};

use comanda_kit::{
    access::Scope,
    errors::ApiError,
    page,
    shutdown::Tasks,
    streams::{ResponseStream, Resume, Streams, deadline_of},
};
use comanda_proto::{
    access::Role,
    v1::{
        AcceptOfferRequest, AcceptOfferResponse, AssignOrderRequest, AssignOrderResponse, Assignment,
        CompleteAssignmentRequest, CompleteAssignmentResponse, CourierState, DeclineOfferRequest, DeclineOfferResponse,
        GetAssignmentRequest, GetAssignmentResponse, ListAssignmentsRequest, ListAssignmentsResponse,
        ListCouriersRequest, ListCouriersResponse, MarkArrivedRequest, MarkArrivedResponse, MarkPickedUpRequest,
        MarkPickedUpResponse, RegisterCourierRequest, RegisterCourierResponse, ReportLocationRequest,
        ReportLocationResponse, SetCourierStatusRequest, SetCourierStatusResponse, StreamLocationsRequest,
        StreamLocationsResponse, WatchCourierRequest, WatchCourierResponse, WithdrawAssignmentRequest,
        WithdrawAssignmentResponse, dispatch_service_server::DispatchService,
    },
    views::timestamp,
};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use self::requests::{AssignmentsPage, AssignmentsPosition, CouriersPage, CouriersPosition, NewStatus, Which};
use crate::{
    assign::{self, Assign},
    commands::{self, Action, Commands, Outcome, assignment_not_found, may_reach},
    locations::Locations,
    model::Case,
    place::CourierKey,
    reach::{self, courier_not_found},
    store::{Registered, Store},
    wake::Wake,
    watch::{CourierStream, Watched},
};

/// What the assignments on a page may hold together, of the 4 MiB that a client takes. The first is sent whatever its size.
const PAGE_BYTES: usize = 1024 * 1024;

/// The service.
pub struct Api {
    /// Carries out what is asked for with assignments.
    pub commands: Commands,
    /// Gives orders to couriers by hand.
    pub assign: Assign,
    /// Reads what is shown.
    pub store: Store,
    /// Told of couriers that may have an order.
    pub wake: Arc<Wake>,
    /// Writes run here to their end, even if the caller hangs up.
    pub tasks: Tasks,
    /// Takes positions.
    pub locations: Locations,
    /// The streams of positions.
    pub location_streams: Streams,
    /// The couriers that are watched here.
    pub watched: Arc<Watched>,
    /// The streams of WatchCourier.
    pub courier_streams: Streams,
}

type Answer<T> = Result<Response<T>, Status>;

impl Api {
    async fn carry_out(&self, request: commands::Request) -> Result<(Assignment, bool), ApiError> {
        let (commands, scope) = (self.commands.clone(), request.scope.clone());
        let Outcome { case, replayed } = self.tasks.finish(async move { commands.carry_out(&request).await }).await?;
        Ok((self.written(&scope, case).await?, replayed))
    }

    async fn assign(&self, request: assign::Request) -> Result<(Assignment, bool), ApiError> {
        let (assign, scope) = (self.assign.clone(), request.scope.clone());
        let Outcome { case, replayed } = self.tasks.finish(async move { assign.carry_out(&request).await }).await?;
        Ok((self.written(&scope, case).await?, replayed))
    }

    /// What was written, as it is shown: from here on a failure must not say that nothing was done.
    async fn written(&self, scope: &Scope, case: Case) -> Result<Assignment, ApiError> {
        let shown = self.show(scope, &[case], false).await.map_err(|_| ApiError::unavailable())?;
        shown.into_iter().next().ok_or_else(ApiError::internal)
    }

    async fn show(&self, scope: &Scope, cases: &[Case], is_full: bool) -> Result<Vec<Assignment>, ApiError> {
        let assignments = cases.iter().filter_map(|case| case.assignment.as_ref());
        let courier_ids: Vec<_> = assignments.map(|assignment| assignment.courier_id.as_str()).collect();
        let couriers = self.store.couriers_of(scope, &courier_ids).await?;
        let couriers = couriers.into_iter().map(|row| (row.registered.courier_id.clone(), row)).collect();
        let order_ids: Vec<_> = cases.iter().filter(|_| is_full).map(|case| case.job.order_id).collect();
        let contents: HashMap<_, _> = self
            .store
            .contents(scope, &order_ids)
            .await?
            .into_iter()
            .map(|content| (content.order_id, content))
            .collect();
        let mut shown = Vec::with_capacity(cases.len());
        for case in cases {
            shown.extend(messages::assignment(case, &couriers, &contents)?);
        }
        Ok(shown)
    }

    async fn courier(&self, scope: &Scope, courier_id: &str) -> Result<CourierState, ApiError> {
        let row = self.store.courier(scope, courier_id).await?;
        row.map(messages::courier).ok_or_else(|| courier_not_found(courier_id))
    }

    async fn register(&self, scope: &Scope, courier: Registered) -> Result<CourierState, ApiError> {
        let courier_id = courier.courier_id.clone();
        let (store, writer) = (self.store.clone(), scope.clone());
        self.tasks.finish(async move { store.register(&writer, &courier).await }).await?;
        self.wake.couriers([CourierKey::new(scope.tenant(), &courier_id)]);
        self.courier(scope, &courier_id).await
    }

    async fn set_status(&self, scope: &Scope, new: NewStatus) -> Result<CourierState, ApiError> {
        let NewStatus { courier_id, status, shift_end } = new;
        let (store, writer, key) = (self.store.clone(), scope.clone(), courier_id.clone());
        let known = self.tasks.finish(async move { store.set_status(&writer, &key, status, shift_end).await }).await?;
        if !known {
            return Err(courier_not_found(&courier_id));
        }
        self.wake.couriers([CourierKey::new(scope.tenant(), &courier_id)]);
        self.courier(scope, &courier_id).await
    }

    async fn couriers(&self, scope: &Scope, page: CouriersPage) -> Result<ListCouriersResponse, ApiError> {
        let CouriersPage { statuses, zone, after, limit, filter } = page;
        let mut rows = self.store.couriers(scope, &statuses, &zone, &after, limit + 1).await?;
        let has_more = rows.len() as i64 > limit;
        rows.truncate(limit as usize);
        let last = rows.last().map(|row| row.registered.courier_id.clone()).filter(|_| has_more);
        let token = |courier_id| page::token(scope, &filter, &CouriersPosition { courier_id });
        let couriers = rows.into_iter().map(messages::courier).collect();
        Ok(ListCouriersResponse { couriers, next_page_token: last.map(token).unwrap_or_default() })
    }

    async fn assignment(&self, scope: &Scope, which: Which) -> Result<Assignment, ApiError> {
        let Which { order_id, attempt, is_full } = which;
        let not_found = || assignment_not_found(order_id, attempt);
        if scope.role() == Role::Customer && !self.store.is_own_order(scope, order_id).await? {
            return Err(not_found());
        }
        let case = self.store.assignment(scope, order_id, attempt).await?.ok_or_else(not_found)?;
        if !case.assignment.as_ref().is_some_and(|assignment| may_reach(scope, &assignment.courier_id)) {
            return Err(not_found());
        }
        self.show(scope, &[case], is_full).await?.pop().ok_or_else(not_found)
    }

    async fn assignments(&self, scope: &Scope, page: AssignmentsPage) -> Result<ListAssignmentsResponse, ApiError> {
        let AssignmentsPage { listed, limit, is_full, filter } = page;
        let mut cases = self.store.assignments(scope, &listed, limit + 1).await?;
        let mut has_more = cases.len() as i64 > limit;
        cases.truncate(limit as usize);
        let mut assignments = self.fitting(scope, &cases, is_full).await?;
        has_more |= assignments.len() < cases.len();
        assignments.truncate(cases.len());
        let last = assignments.len().checked_sub(1).and_then(|last| cases[last].assignment.as_ref());
        let token = |last: &crate::model::Assignment| {
            let (create_time, order_id) = (Some(timestamp(last.create_time)), last.order_id.to_string());
            page::token(scope, &filter, &AssignmentsPosition { create_time, order_id, attempt: last.attempt })
        };
        let next_page_token = last.filter(|_| has_more).map(token).unwrap_or_default();
        Ok(ListAssignmentsResponse { assignments, next_page_token })
    }

    /// As many of the assignments as a page may hold: read in steps, so that large ones are not all in memory.
    async fn fitting(&self, scope: &Scope, cases: &[Case], is_full: bool) -> Result<Vec<Assignment>, ApiError> {
        let (mut assignments, mut bytes) = (Vec::new(), 0);
        for step in cases.chunks(if is_full { 20 } else { cases.len().max(1) }) {
            for assignment in self.show(scope, step, is_full).await? {
                bytes += assignment.encoded_len();
                if bytes > PAGE_BYTES && !assignments.is_empty() {
                    return Ok(assignments);
                }
                assignments.push(assignment);
            }
        }
        Ok(assignments)
    }
}

#[tonic::async_trait]
impl DispatchService for Api {
    type WatchCourierStream = ResponseStream<WatchCourierResponse>;

    async fn register_courier(&self, request: Request<RegisterCourierRequest>) -> Answer<RegisterCourierResponse> {
        let scope = Scope::of(request.extensions())?;
        let courier = self.register(&scope, requests::register(request.into_inner())?).await?;
        Ok(Response::new(RegisterCourierResponse { courier: Some(courier) }))
    }

    async fn set_courier_status(&self, request: Request<SetCourierStatusRequest>) -> Answer<SetCourierStatusResponse> {
        let scope = Scope::of(request.extensions())?;
        let new = requests::new_status(&scope, request.into_inner())?;
        Ok(Response::new(SetCourierStatusResponse { courier: Some(self.set_status(&scope, new).await?) }))
    }

    async fn stream_locations(
        &self,
        request: Request<Streaming<StreamLocationsRequest>>,
    ) -> Answer<StreamLocationsResponse> {
        let scope = Scope::of(request.extensions())?;
        let counts = self.locations.take_all(&scope, request.into_inner());
        Ok(Response::new(self.location_streams.take(counts).await?))
    }

    async fn report_location(&self, request: Request<ReportLocationRequest>) -> Answer<ReportLocationResponse> {
        let scope = Scope::of(request.extensions())?;
        let ReportLocationRequest { courier_id, location } = request.into_inner();
        let taken = self.locations.report(&scope, &courier_id, location).await?;
        Ok(Response::new(ReportLocationResponse { taken }))
    }

    async fn list_couriers(&self, request: Request<ListCouriersRequest>) -> Answer<ListCouriersResponse> {
        let scope = Scope::of(request.extensions())?;
        let page = requests::couriers_page(&scope, request.into_inner())?;
        Ok(Response::new(self.couriers(&scope, page).await?))
    }

    async fn get_assignment(&self, request: Request<GetAssignmentRequest>) -> Answer<GetAssignmentResponse> {
        let scope = Scope::of(request.extensions())?;
        let assignment = self.assignment(&scope, requests::which(&request.into_inner())?).await?;
        Ok(Response::new(GetAssignmentResponse { assignment: Some(assignment) }))
    }

    async fn list_assignments(&self, request: Request<ListAssignmentsRequest>) -> Answer<ListAssignmentsResponse> {
        let scope = Scope::of(request.extensions())?;
        let page = requests::assignments_page(&scope, request.into_inner())?;
        Ok(Response::new(self.assignments(&scope, page).await?))
    }

    async fn assign_order(&self, request: Request<AssignOrderRequest>) -> Answer<AssignOrderResponse> {
        let scope = Scope::of(request.extensions())?;
        let (assignment, replayed) = self.assign(requests::assign(scope, request.into_inner())?).await?;
        Ok(Response::new(AssignOrderResponse { assignment: Some(assignment), replayed }))
    }

    async fn accept_offer(&self, request: Request<AcceptOfferRequest>) -> Answer<AcceptOfferResponse> {
        let scope = Scope::of(request.extensions())?;
        let AcceptOfferRequest { order_id, attempt } = request.into_inner();
        let request = requests::command(scope, Action::Accept, &order_id, attempt, String::new())?;
        let (assignment, replayed) = self.carry_out(request).await?;
        Ok(Response::new(AcceptOfferResponse { assignment: Some(assignment), replayed }))
    }

    async fn decline_offer(&self, request: Request<DeclineOfferRequest>) -> Answer<DeclineOfferResponse> {
        let scope = Scope::of(request.extensions())?;
        let DeclineOfferRequest { order_id, attempt, reason } = request.into_inner();
        let request = requests::command(scope, Action::Decline, &order_id, attempt, reason)?;
        let (assignment, replayed) = self.carry_out(request).await?;
        Ok(Response::new(DeclineOfferResponse { assignment: Some(assignment), replayed }))
    }

    async fn withdraw_assignment(
        &self,
        request: Request<WithdrawAssignmentRequest>,
    ) -> Answer<WithdrawAssignmentResponse> {
        let scope = Scope::of(request.extensions())?;
        let WithdrawAssignmentRequest { order_id, attempt, reason } = request.into_inner();
        let request = requests::command(scope, Action::Withdraw, &order_id, attempt, reason)?;
        let (assignment, replayed) = self.carry_out(request).await?;
        Ok(Response::new(WithdrawAssignmentResponse { assignment: Some(assignment), replayed }))
    }

    async fn mark_arrived(&self, request: Request<MarkArrivedRequest>) -> Answer<MarkArrivedResponse> {
        let scope = Scope::of(request.extensions())?;
        let MarkArrivedRequest { order_id, attempt } = request.into_inner();
        let request = requests::command(scope, Action::Arrive, &order_id, attempt, String::new())?;
        let (assignment, replayed) = self.carry_out(request).await?;
        Ok(Response::new(MarkArrivedResponse { assignment: Some(assignment), replayed }))
    }

    async fn mark_picked_up(&self, request: Request<MarkPickedUpRequest>) -> Answer<MarkPickedUpResponse> {
        let scope = Scope::of(request.extensions())?;
        let MarkPickedUpRequest { order_id, attempt } = request.into_inner();
        let request = requests::command(scope, Action::PickUp, &order_id, attempt, String::new())?;
        let (assignment, replayed) = self.carry_out(request).await?;
        Ok(Response::new(MarkPickedUpResponse { assignment: Some(assignment), replayed }))
    }

    async fn complete_assignment(
        &self,
        request: Request<CompleteAssignmentRequest>,
    ) -> Answer<CompleteAssignmentResponse> {
        let scope = Scope::of(request.extensions())?;
        let CompleteAssignmentRequest { order_id, attempt } = request.into_inner();
        let request = requests::command(scope, Action::Complete, &order_id, attempt, String::new())?;
        let (assignment, replayed) = self.carry_out(request).await?;
        Ok(Response::new(CompleteAssignmentResponse { assignment: Some(assignment), replayed }))
    }

    async fn watch_courier(&self, request: Request<WatchCourierRequest>) -> Answer<Self::WatchCourierStream> {
        let (scope, deadline) = (Scope::of(request.extensions())?, deadline_of(&request));
        let place = self.courier_streams.place()?;
        let courier = reach::courier(&scope, &request.into_inner().courier_id)?;
        let stream = CourierStream::open(&self.watched, self.store.clone(), courier).await?;
        Ok(Response::new(self.courier_streams.open(place, Resume::Start, deadline, stream)))
    }
}
