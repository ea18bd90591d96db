//! DispatchService: checked requests in, commands and lists out.

use std::pin::Pin;

use comanda_kit::{access::Scope, streams::Streams};
use comanda_proto::v1::{
    AcceptOfferRequest, AcceptOfferResponse, AssignOrderRequest, AssignOrderResponse, CompleteAssignmentRequest,
    CompleteAssignmentResponse, DeclineOfferRequest, DeclineOfferResponse, GetAssignmentRequest, GetAssignmentResponse,
    ListAssignmentsRequest, ListAssignmentsResponse, ListCouriersRequest, ListCouriersResponse, MarkArrivedRequest,
    MarkArrivedResponse, MarkPickedUpRequest, MarkPickedUpResponse, RegisterCourierRequest, RegisterCourierResponse,
    ReportLocationRequest, ReportLocationResponse, SetCourierStatusRequest, SetCourierStatusResponse,
    StreamLocationsRequest, StreamLocationsResponse, WatchCourierRequest, WatchCourierResponse,
    WithdrawAssignmentRequest, WithdrawAssignmentResponse, dispatch_service_server::DispatchService,
};
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::locations::Locations;

/// The service.
pub struct Api {
    /// Takes positions.
    pub locations: Locations,
    /// The streams of positions.
    pub location_streams: Streams,
}

type Answer<T> = Result<Response<T>, Status>;

fn not_served<T>() -> Answer<T> {
    Err(Status::unimplemented("this server has no such rpc"))
}

#[tonic::async_trait]
impl DispatchService for Api {
    type WatchCourierStream = Pin<Box<dyn Stream<Item = Result<WatchCourierResponse, Status>> + Send>>;

    async fn register_courier(&self, _: Request<RegisterCourierRequest>) -> Answer<RegisterCourierResponse> {
        not_served()
    }

    async fn set_courier_status(&self, _: Request<SetCourierStatusRequest>) -> Answer<SetCourierStatusResponse> {
        not_served()
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

    async fn list_couriers(&self, _: Request<ListCouriersRequest>) -> Answer<ListCouriersResponse> {
        not_served()
    }

    async fn get_assignment(&self, _: Request<GetAssignmentRequest>) -> Answer<GetAssignmentResponse> {
        not_served()
    }

    async fn list_assignments(&self, _: Request<ListAssignmentsRequest>) -> Answer<ListAssignmentsResponse> {
        not_served()
    }

    async fn assign_order(&self, _: Request<AssignOrderRequest>) -> Answer<AssignOrderResponse> {
        not_served()
    }

    async fn accept_offer(&self, _: Request<AcceptOfferRequest>) -> Answer<AcceptOfferResponse> {
        not_served()
    }

    async fn decline_offer(&self, _: Request<DeclineOfferRequest>) -> Answer<DeclineOfferResponse> {
        not_served()
    }

    async fn withdraw_assignment(&self, _: Request<WithdrawAssignmentRequest>) -> Answer<WithdrawAssignmentResponse> {
        not_served()
    }

    async fn mark_arrived(&self, _: Request<MarkArrivedRequest>) -> Answer<MarkArrivedResponse> {
        not_served()
    }

    async fn mark_picked_up(&self, _: Request<MarkPickedUpRequest>) -> Answer<MarkPickedUpResponse> {
        not_served()
    }

    async fn complete_assignment(&self, _: Request<CompleteAssignmentRequest>) -> Answer<CompleteAssignmentResponse> {
        not_served()
    }

    async fn watch_courier(&self, _: Request<WatchCourierRequest>) -> Answer<Self::WatchCourierStream> {
        not_served()
    }
}
