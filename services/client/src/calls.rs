//! The calls of the API: each with a deadline, and repeated where that is safe. Their contracts are at the calls in
//! `proto/comanda/v1`.

use comanda_proto::v1::{
    AcceptOfferRequest, AcceptOfferResponse, AdvanceOrderRequest, AdvanceOrderResponse, AssignOrderRequest,
    AssignOrderResponse, BatchGetOrdersRequest, BatchGetOrdersResponse, CancelOrderRequest, CancelOrderResponse,
    CompleteAssignmentRequest, CompleteAssignmentResponse, CountOrdersRequest, CountOrdersResponse, CreateOrderRequest,
    CreateOrderResponse, DeclineOfferRequest, DeclineOfferResponse, EraseCustomerRequest, EraseCustomerResponse,
    GetAnalyticsStateRequest, GetAnalyticsStateResponse, GetAssignmentRequest, GetAssignmentResponse, GetOrderRequest,
    GetOrderResponse, GetWorkflowRequest, GetWorkflowResponse, ListAssignmentsRequest, ListAssignmentsResponse,
    ListCouriersRequest, ListCouriersResponse, ListMailsRequest, ListMailsResponse, ListOrdersRequest,
    ListOrdersResponse, ListTransitionsRequest, ListTransitionsResponse, ListWorkflowsRequest, ListWorkflowsResponse,
    MarkArrivedRequest, MarkArrivedResponse, MarkPickedUpRequest, MarkPickedUpResponse, RegisterCourierRequest,
    RegisterCourierResponse, RejectOrderRequest, RejectOrderResponse, ReportCouriersRequest, ReportCouriersResponse,
    ReportDwellRequest, ReportDwellResponse, ReportLocationRequest, ReportLocationResponse, ReportRatesRequest,
    ReportRatesResponse, ReportRevenueRequest, ReportRevenueResponse, ResendDeadMailsRequest, ResendDeadMailsResponse,
    ResendMailRequest, ResendMailResponse, SetCourierStatusRequest, SetCourierStatusResponse,
    WithdrawAssignmentRequest, WithdrawAssignmentResponse,
};

use crate::{
    client::{Client, with_request_id},
    error::Error,
};

/// A method that makes one call of a service.
macro_rules! call {
    ($(#[$doc:meta])* $name:ident, $service:ident, $request:ty, $response:ty) => {
        $(#[$doc])*
        pub async fn $name(&self, request: $request) -> Result<$response, Error> {
            let service = self.$service().await?;
            self.call(request, |request| {
                let mut service = service.clone();
                async move { service.$name(request).await }
            })
            .await
        }
    };
    ($(#[$doc:meta])* $name:ident, $service:ident, $request:ty, $response:ty, with request_id) => {
        $(#[$doc])*
        ///
        /// An empty `request_id` is filled in, so that the call can be repeated here. Set it yourself to be able to repeat the call
        /// after an [unknown outcome](crate::Outcome::Unknown).
        pub async fn $name(&self, mut request: $request) -> Result<$response, Error> {
            with_request_id(&mut request.request_id);
            let service = self.$service().await?;
            self.call(request, |request| {
                let mut service = service.clone();
                async move { service.$name(request).await }
            })
            .await
        }
    };
}

/// OrderService.
impl Client {
    call!(
        /// Stores an order.
        create_order, order_service, CreateOrderRequest, CreateOrderResponse, with request_id
    );
    call!(
        /// Returns one order.
        get_order, order_service, GetOrderRequest, GetOrderResponse
    );
    call!(
        /// Returns up to 100 orders.
        batch_get_orders, order_service, BatchGetOrdersRequest, BatchGetOrdersResponse
    );
    call!(
        /// Erases who a customer is, in some of its orders. Repeating it is safe.
        erase_customer, order_service, EraseCustomerRequest, EraseCustomerResponse
    );
    call!(
        /// Returns a page of orders.
        list_orders, order_service, ListOrdersRequest, ListOrdersResponse
    );
}

/// LifecycleService.
impl Client {
    call!(
        /// Moves an order one step ahead.
        advance_order, lifecycle_service, AdvanceOrderRequest, AdvanceOrderResponse, with request_id
    );
    call!(
        /// Cancels an order.
        cancel_order, lifecycle_service, CancelOrderRequest, CancelOrderResponse, with request_id
    );
    call!(
        /// Rejects an order.
        reject_order, lifecycle_service, RejectOrderRequest, RejectOrderResponse, with request_id
    );
    call!(
        /// Returns a page of the history of an order.
        list_transitions, lifecycle_service, ListTransitionsRequest, ListTransitionsResponse
    );
    call!(
        /// Returns a page of the workflows that new orders may follow.
        list_workflows, lifecycle_service, ListWorkflowsRequest, ListWorkflowsResponse
    );
    call!(
        /// Returns one workflow in one revision.
        get_workflow, lifecycle_service, GetWorkflowRequest, GetWorkflowResponse
    );
}

/// MailService.
impl Client {
    call!(
        /// Returns a page of the mails of an order.
        list_mails, mail_service, ListMailsRequest, ListMailsResponse
    );
    call!(
        /// Sends the mail of one transition again.
        resend_mail, mail_service, ResendMailRequest, ResendMailResponse, with request_id
    );
    call!(
        /// Sends dead mails again. Repeating it is safe: a mail that was sent again is dead no more.
        resend_dead_mails, mail_service, ResendDeadMailsRequest, ResendDeadMailsResponse
    );
}

/// DispatchService.
impl Client {
    call!(
        /// Stores a courier, or replaces what is stored.
        register_courier, dispatch_service, RegisterCourierRequest, RegisterCourierResponse
    );
    call!(
        /// Says whether a courier takes jobs.
        set_courier_status, dispatch_service, SetCourierStatusRequest, SetCourierStatusResponse
    );
    call!(
        /// Takes one position of a courier. A repeated one is dropped.
        report_location, dispatch_service, ReportLocationRequest, ReportLocationResponse
    );
    call!(
        /// Returns a page of couriers.
        list_couriers, dispatch_service, ListCouriersRequest, ListCouriersResponse
    );
    call!(
        /// Returns one assignment of an order.
        get_assignment, dispatch_service, GetAssignmentRequest, GetAssignmentResponse
    );
    call!(
        /// Returns a page of assignments.
        list_assignments, dispatch_service, ListAssignmentsRequest, ListAssignmentsResponse
    );
    call!(
        /// Gives an order to a courier by hand.
        assign_order, dispatch_service, AssignOrderRequest, AssignOrderResponse, with request_id
    );
    call!(
        /// Takes an offer.
        accept_offer, dispatch_service, AcceptOfferRequest, AcceptOfferResponse
    );
    call!(
        /// Refuses an offer.
        decline_offer, dispatch_service, DeclineOfferRequest, DeclineOfferResponse
    );
    call!(
        /// Takes an assignment back before the pickup.
        withdraw_assignment, dispatch_service, WithdrawAssignmentRequest, WithdrawAssignmentResponse
    );
    call!(
        /// Says that the courier is at the pickup.
        mark_arrived, dispatch_service, MarkArrivedRequest, MarkArrivedResponse
    );
    call!(
        /// Says that the courier has picked up what it carries.
        mark_picked_up, dispatch_service, MarkPickedUpRequest, MarkPickedUpResponse
    );
    call!(
        /// Says that the job is done.
        complete_assignment, dispatch_service, CompleteAssignmentRequest, CompleteAssignmentResponse
    );
}

/// AnalyticsService.
impl Client {
    call!(
        /// Counts the orders that entered each status.
        count_orders, analytics_service, CountOrdersRequest, CountOrdersResponse
    );
    call!(
        /// Reports how long orders stayed in each status.
        report_dwell, analytics_service, ReportDwellRequest, ReportDwellResponse
    );
    call!(
        /// Reports how orders ended and how well promises were kept.
        report_rates, analytics_service, ReportRatesRequest, ReportRatesResponse
    );
    call!(
        /// Reports what was sold.
        report_revenue, analytics_service, ReportRevenueRequest, ReportRevenueResponse
    );
    call!(
        /// Reports what each courier did.
        report_couriers, analytics_service, ReportCouriersRequest, ReportCouriersResponse
    );
    call!(
        /// Says how far the reports have come.
        get_analytics_state, analytics_service, GetAnalyticsStateRequest, GetAnalyticsStateResponse
    );
}
