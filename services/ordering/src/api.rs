//! OrderService: checks requests, calls the store or the writer, and builds the responses.

use std::{sync::Arc, time::Duration};

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    postgres::StoreError,
    traces::Traceparent,
    tracking::Keys,
    workflows::Workflows,
};
use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, BatchGetOrdersRequest, BatchGetOrdersResponse,
    CreateOrderRequest, CreateOrderResponse, EraseCustomerRequest, EraseCustomerResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse, OrderView, batch_create_orders_response,
    get_order_request::Key, order_service_server::OrderService,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    batch_get::BatchGet,
    erase::Erasure,
    list::List,
    order::{NewOrder, workflow_of},
    share::Share,
    store::Store,
    view,
    writer::{self, Outcome, Writer},
};

/// How long a caller waits for an order to be written: as long as one statement may take.
const PATIENCE: Duration = Duration::from_millis(5500);

/// The service.
pub struct Api {
    store: Store,
    workflows: Workflows,
    writer: Writer,
    share: Share,
    tracking: Option<Arc<Keys>>,
}

impl Api {
    /// Reads through `store`, of many orders at once only in a `share` of its connections, and writes through `writer`. Orders get tokens of
    /// `tracking`.
    pub fn new(store: Store, workflows: Workflows, writer: Writer, share: Share, tracking: Option<Arc<Keys>>) -> Self {
        Self { store, workflows, writer, share, tracking }
    }

    /// With the tracking token of the order.
    fn tracked(&self, scope: &Scope, mut response: CreateOrderResponse) -> CreateOrderResponse {
        let order_id = response.order.as_ref().and_then(|order| Uuid::try_parse(&order.order_id).ok());
        let token =
            self.tracking.as_ref().zip(order_id).and_then(|(keys, order_id)| keys.token(scope.tenant(), order_id));
        response.tracking_token = token.unwrap_or_default();
        response
    }

    async fn parse(&self, scope: Scope, request: CreateOrderRequest) -> Result<NewOrder, ApiError> {
        let workflow = self.workflows.current(workflow_of(&request)).await?;
        NewOrder::parse(scope, request, workflow)
    }

    async fn enqueue(
        &self,
        scope: Scope,
        traceparent: Option<Traceparent>,
        request: CreateOrderRequest,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Outcome>, ApiError> {
        let order = in_time(deadline, self.parse(scope, request)).await?;
        self.writer.enqueue(order.traced(traceparent))
    }
}

#[tonic::async_trait]
impl OrderService for Api {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        let (scope, deadline) = (Scope::of(request.extensions())?, Instant::now() + PATIENCE);
        let traceparent = request.extensions().get().cloned();
        let receiver = self.enqueue(scope.clone(), traceparent, request.into_inner(), deadline).await?;
        let created = in_time(deadline, writer::outcome(receiver)).await?;
        Ok(Response::new(self.tracked(&scope, created)))
    }

    async fn batch_create_orders(
        &self,
        request: Request<BatchCreateOrdersRequest>,
    ) -> Result<Response<BatchCreateOrdersResponse>, Status> {
        let (scope, deadline) = (Scope::of(request.extensions())?, Instant::now() + PATIENCE);
        let traceparent: Option<Traceparent> = request.extensions().get().cloned();
        let rows = request.into_inner().requests;
        let mut violations = Violations::default();
        violations.require((1..=100).contains(&rows.len()), "requests", "must be 1 to 100");
        violations.check()?;
        if !self.writer.has_room(rows.len()) {
            return Err(ApiError::overloaded().into());
        }
        let mut waiting = Vec::with_capacity(rows.len());
        for row in rows {
            waiting.push(self.enqueue(scope.clone(), traceparent.clone(), row, deadline).await);
        }
        let mut results = Vec::with_capacity(waiting.len());
        for row in waiting {
            results.push(result(match row {
                Ok(receiver) => {
                    in_time(deadline, writer::outcome(receiver)).await.map(|created| self.tracked(&scope, created))
                }
                Err(error) => Err(error),
            }));
        }
        Ok(Response::new(BatchCreateOrdersResponse { results }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let (scope, request) = (Scope::of(request.extensions())?, request.into_inner());
        let mut violations = Violations::default();
        let view = view::parse(&mut violations, request.view, OrderView::Full);
        violations.require(request.key.is_some(), "key", "must be an order_id or a number");
        let (found, key) = match request.key {
            Some(Key::OrderId(text)) => {
                let order_id = violations.uuid("order_id", &text);
                violations.check()?;
                (self.store.order(&scope, order_id).await, text)
            }
            Some(Key::Number(number)) => {
                violations.check()?;
                (self.store.order_by_number(&scope, number).await, number.to_string())
            }
            None => return Err(violations.check().err().unwrap_or_else(ApiError::internal).into()),
        };
        let found = found
            .map_err(ApiError::from)?
            .filter(|row| scope.reaches(row.order_id) && scope.reaches_customer(&row.customer_id));
        let row = found.ok_or_else(|| ApiError::order_not_found(key))?;
        let order = row.into_order(view).map_err(|error| ApiError::from(StoreError::from(error)))?;
        Ok(Response::new(GetOrderResponse { order: Some(scope.shown(order)) }))
    }

    async fn batch_get_orders(
        &self,
        request: Request<BatchGetOrdersRequest>,
    ) -> Result<Response<BatchGetOrdersResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let batch = BatchGet::parse(request.into_inner())?;
        let _place = self.share.enter().await?;
        Ok(Response::new(batch.answer(&self.store, &scope).await?))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let list = List::parse(&scope, request.into_inner())?;
        let _place = self.share.enter().await?;
        Ok(Response::new(list.page(&self.store, &scope).await?))
    }

    async fn erase_customer(
        &self,
        request: Request<EraseCustomerRequest>,
    ) -> Result<Response<EraseCustomerResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let erasure = Erasure::parse(&scope, request.into_inner())?;
        let _place = self.share.enter().await?;
        Ok(Response::new(erasure.run(&self.store, &scope).await?))
    }
}

/// Waits until the deadline; after it the outcome is unknown. The queue before the writer has no other one.
async fn in_time<T>(deadline: Instant, result: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    timeout_at(deadline, result).await.unwrap_or_else(|_| Err(ApiError::unavailable()))
}

/// A row's outcome: what CreateOrder would have answered, as a message.
fn result(outcome: Outcome) -> batch_create_orders_response::Result {
    use batch_create_orders_response::result::Outcome as Row;
    let row = match outcome {
        Ok(created) => Row::Created(created),
        Err(error) => Row::Error(as_message(error.into())),
    };
    batch_create_orders_response::Result { outcome: Some(row) }
}

fn as_message(status: Status) -> tonic_types::pb::Status {
    // The details of a rich error are this very message, encoded.
    let tonic_types::pb::Status { details, .. } = prost::Message::decode(status.details()).unwrap_or_default();
    tonic_types::pb::Status { code: status.code() as i32, message: status.message().to_owned(), details }
}
