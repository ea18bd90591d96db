//! OrderService: requests in, checked; orders out.

use std::time::Duration;

use comanda_kit::errors::{ApiError, Violations};
use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, CreateOrderRequest, CreateOrderResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse, batch_create_orders_response, get_order_request::Key,
    order_service_server::OrderService,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tonic::{Request, Response, Status};

use crate::{
    catalog::Catalog,
    list::List,
    order::{NewOrder, workflow_of},
    store::Store,
    writer::{self, Outcome, Writer},
};

/// Whose orders all are, until there is authentication. The only place that says so.
pub const TENANT: &str = "default";

/// How long a caller waits for an order to be written: as long as one statement may take.
const PATIENCE: Duration = Duration::from_millis(5500);

/// The service.
pub struct Api {
    store: Store,
    catalog: Catalog,
    writer: Writer,
}

impl Api {
    /// Reads through `store`, writes through `writer`.
    pub fn new(store: Store, catalog: Catalog, writer: Writer) -> Self {
        Self { store, catalog, writer }
    }

    async fn parse(&self, request: CreateOrderRequest) -> Result<NewOrder, ApiError> {
        let pinned = self.catalog.current(workflow_of(&request)).await?;
        NewOrder::parse(request, pinned)
    }

    async fn enqueue(
        &self,
        request: CreateOrderRequest,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Outcome>, ApiError> {
        self.writer.enqueue(in_time(deadline, self.parse(request)).await?)
    }
}

#[tonic::async_trait]
impl OrderService for Api {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        let deadline = Instant::now() + PATIENCE;
        let receiver = self.enqueue(request.into_inner(), deadline).await?;
        Ok(Response::new(in_time(deadline, writer::outcome(receiver)).await?))
    }

    async fn batch_create_orders(
        &self,
        request: Request<BatchCreateOrdersRequest>,
    ) -> Result<Response<BatchCreateOrdersResponse>, Status> {
        let rows = request.into_inner().requests;
        let mut violations = Violations::default();
        violations.require((1..=100).contains(&rows.len()), "requests", "must be 1 to 100");
        violations.check()?;
        if !self.writer.has_room(rows.len()) {
            return Err(ApiError::overloaded().into());
        }
        let deadline = Instant::now() + PATIENCE;
        let mut waiting = Vec::with_capacity(rows.len());
        for row in rows {
            waiting.push(self.enqueue(row, deadline).await);
        }
        let mut results = Vec::with_capacity(waiting.len());
        for row in waiting {
            results.push(result(match row {
                Ok(receiver) => in_time(deadline, writer::outcome(receiver)).await,
                Err(error) => Err(error),
            }));
        }
        Ok(Response::new(BatchCreateOrdersResponse { results }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let (order, key) = match request.into_inner().key {
            Some(Key::OrderId(text)) => {
                let mut violations = Violations::default();
                let order_id = violations.uuid("order_id", &text);
                violations.check()?;
                (self.store.order(TENANT, order_id).await, text)
            }
            Some(Key::Number(number)) => (self.store.order_by_number(TENANT, number).await, number.to_string()),
            None => return Err(ApiError::invalid_field("key", "must be an order_id or a number").into()),
        };
        match order.map_err(ApiError::from)? {
            Some(order) => Ok(Response::new(GetOrderResponse { order: Some(order) })),
            None => Err(ApiError::order_not_found(key).into()),
        }
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        let list = List::parse(request.into_inner())?;
        Ok(Response::new(list.page(&self.store, TENANT).await?))
    }
}

/// What comes until the deadline; after it the outcome is unknown. The queue before the writer is no call to the database and so has
/// no other deadline.
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
