//! The gRPC service: checks requests and opens streams. Its contract is in `watch_service.proto`.

use std::sync::Arc;

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    planted,
    streams::{ResponseStream, Resume, Streams, deadline_of},
};
use comanda_proto::{
    errors::reason,
    frame::{Frame, watch_service_server::WatchService},
    v1::{OrderView, WatchOrderRequest, WatchOrdersRequest, watch_orders_request},
};
use tonic::{Code, Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{
    broker::Broker,
    couriers::Couriers,
    cursor::{Expired, NotStarted, Start},
    filter::Filter,
    hub::{Hub, OrdersSubscription},
    order_stream::{OrderStream, version_ahead},
    orders_stream::{OrdersStream, Snapshot, token_expired},
    store::{ActiveOrders, Store},
    token::{InvalidToken, Token},
};

/// The most orders that a snapshot shows.
const MAX_SNAPSHOT: usize = 10_000;

/// The service.
pub struct Api {
    /// What happens.
    pub hub: Arc<Hub>,
    /// What has happened.
    pub store: Arc<Store>,
    /// Who comes, and where they are.
    pub couriers: Arc<Couriers>,
    /// Knows where the topic ends.
    pub broker: Broker,
    /// The streams of WatchOrder.
    pub order_streams: Streams,
    /// The streams of WatchOrders.
    pub orders_streams: Streams,
}

#[async_trait]
impl WatchService for Api {
    type WatchOrderStream = ResponseStream<Frame>;
    type WatchOrdersStream = ResponseStream<Frame>;

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<ResponseStream<Frame>>, Status> {
        let (scope, deadline) = (Scope::of(request.extensions())?, deadline_of(&request));
        let place = self.order_streams.place()?;
        let (stream, resume) = self.open_order(scope, request.into_inner()).await?;
        Ok(Response::new(self.order_streams.open(place, resume, deadline, stream)))
    }

    async fn watch_orders(
        &self,
        request: Request<WatchOrdersRequest>,
    ) -> Result<Response<ResponseStream<Frame>>, Status> {
        let (scope, deadline) = (Scope::of(request.extensions())?, deadline_of(&request));
        let place = self.orders_streams.place()?;
        let stream = self.open_orders(scope, request.into_inner()).await?;
        Ok(Response::new(self.orders_streams.open(place, Resume::Start, deadline, stream)))
    }
}

impl Api {
    async fn open_order(&self, scope: Scope, request: WatchOrderRequest) -> Result<(OrderStream, Resume), ApiError> {
        let (order_id, view) = parse(&request)?;
        let after_version = request.after_version;
        if !scope.reaches(order_id) {
            return Err(ApiError::order_not_found(order_id));
        }
        // Before the store is asked: what happens in between then waits in the subscription.
        let subscription = self.hub.watch_order(order_id);
        let opening = self.store.opening(&scope, order_id, after_version, view).await?;
        let opening = opening.ok_or_else(|| ApiError::order_not_found(order_id))?;
        let late = planted!("snapshot-before-register");
        let subscription = if late { self.hub.watch_order(order_id) } else { subscription };
        if after_version > opening.version {
            return Err(version_ahead(after_version, opening.version));
        }
        let sources = (self.store.clone(), self.couriers.clone());
        let stream = OrderStream::new(subscription, sources, (scope, view), after_version, opening);
        Ok((stream, Resume::Version(after_version)))
    }

    async fn open_orders(&self, scope: Scope, request: WatchOrdersRequest) -> Result<OrdersStream, ApiError> {
        use watch_orders_request::Start::{Now, ResumeToken, Snapshot};
        let (filter, view, start) = parse_many(scope, request)?;
        match start {
            Snapshot(_) => self.open_snapshot(filter, view).await,
            Now(_) => Ok(OrdersStream::new(self.subscribe(&filter, Start::Now)?, None)),
            ResumeToken(bytes) => {
                let token = Token::decode(&bytes, filter.hash()).map_err(invalid_token)?;
                Ok(OrdersStream::new(self.resume(&filter, token).await?, None))
            }
        }
    }

    async fn open_snapshot(&self, filter: Filter, view: OrderView) -> Result<OrdersStream, ApiError> {
        // Before the store is asked, as above.
        let subscription = self.subscribe(&filter, Start::Now)?;
        let order_ids = match self.store.active_orders(&filter, MAX_SNAPSHOT).await? {
            ActiveOrders::All(order_ids) => order_ids,
            ActiveOrders::TooMany => return Err(too_many()),
            ActiveOrders::TooFar => return Err(too_far()),
        };
        let snapshot = Snapshot { store: self.store.clone(), filter, view, order_ids };
        Ok(OrdersStream::new(subscription, Some(snapshot)))
    }

    fn subscribe(&self, filter: &Filter, start: Start) -> Result<OrdersSubscription, ApiError> {
        self.hub.watch_orders(filter.clone(), start).map_err(not_started)
    }

    /// Another replica may have read further than this one: then the broker knows whether the token is valid.
    async fn resume(&self, filter: &Filter, token: Token) -> Result<OrdersSubscription, ApiError> {
        match self.hub.watch_orders(filter.clone(), Start::Token(token.clone())) {
            Err(NotStarted::Beyond) => {}
            result => return result.map_err(not_started),
        }
        let ends = self.broker.ends().await?;
        if token.offsets.exceeds(&ends) {
            return Err(token_expired(Expired));
        }
        self.subscribe(filter, Start::VerifiedToken(token))
    }
}

fn parse(request: &WatchOrderRequest) -> Result<(Uuid, OrderView), ApiError> {
    let mut violations = Violations::default();
    let order_id = violations.uuid("order_id", &request.order_id);
    violations.require(request.after_version >= 0, "after_version", "must be 0 or more");
    let view = parse_view(request.view, &mut violations);
    violations.check()?;
    Ok((order_id, view))
}

fn parse_many(
    scope: Scope,
    request: WatchOrdersRequest,
) -> Result<(Filter, OrderView, watch_orders_request::Start), ApiError> {
    let mut violations = Violations::default();
    let view = parse_view(request.view, &mut violations);
    violations.require(request.start.is_some(), "start", "must be one of snapshot, now and resume_token");
    let filter = Filter::parse(scope, request.filter, violations)?;
    let start = request.start.ok_or_else(ApiError::internal)?;
    Ok((filter, view, start))
}

fn parse_view(view: i32, violations: &mut Violations) -> OrderView {
    let known = OrderView::try_from(view);
    violations.require(known.is_ok(), "view", "must be a known view");
    match known {
        Ok(OrderView::Full) => OrderView::Full,
        _ => OrderView::Basic,
    }
}

fn invalid_token(error: InvalidToken) -> ApiError {
    match error {
        InvalidToken::Malformed => {
            ApiError::invalid_field("resume_token", "must be the resume_token of a response of this call")
        }
        InvalidToken::OtherFilter => {
            let message = "this resume_token belongs to a watch with another filter";
            ApiError::new(Code::InvalidArgument, reason::FILTER_MISMATCH, message)
        }
    }
}

fn not_started(error: NotStarted) -> ApiError {
    match error {
        NotStarted::NotReady => ApiError::unavailable(),
        NotStarted::Expired | NotStarted::Beyond => token_expired(Expired),
    }
}

fn too_many() -> ApiError {
    let message =
        format!("more than {MAX_SNAPSHOT} orders match; narrow the filter, or start with `now` and page ListOrders");
    ApiError::new(Code::FailedPrecondition, reason::SNAPSHOT_TOO_LARGE, message)
}

fn too_far() -> ApiError {
    let message =
        "too many orders would have to be looked at; narrow the filter, or start with `now` and page ListOrders";
    ApiError::new(Code::ResourceExhausted, reason::SNAPSHOT_TOO_LARGE, message)
}
