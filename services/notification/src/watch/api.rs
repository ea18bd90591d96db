//! The gRPC service: checks requests and opens streams. Its contract is in `watch_service.proto`.

use std::{pin::Pin, sync::Arc};

use comanda_kit::{
    errors::{ApiError, Violations},
    planted,
};
use comanda_proto::{
    errors::reason,
    frame::{Frame, watch_service_server::WatchService},
    v1::{WatchOrderRequest, WatchOrdersRequest, watch_orders_request},
};
use futures::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{
    broker::Broker,
    filter::Filter,
    hub::{Following, Hub, NotFollowed, Start},
    order_stream::{OrderStream, version_ahead},
    orders_stream::{OrdersStream, token_expired},
    pace::{Kind, Pace, Responses, Times},
    store::Store,
    token::{self, Token},
};

/// The most orders that a snapshot shows.
const MOST_ORDERS: usize = 10_000;

type FrameStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// The service.
pub struct Api {
    /// What is new.
    pub hub: Arc<Hub>,
    /// What was before.
    pub store: Arc<Store>,
    /// Knows where the topic ends.
    pub broker: Broker,
    /// Of every stream.
    pub times: Times,
    /// The streams of single orders.
    pub single: Kind,
    /// The streams of many orders.
    pub many: Kind,
    /// Ends every stream.
    pub stop: CancellationToken,
}

#[async_trait]
impl WatchService for Api {
    type WatchOrderStream = FrameStream;
    type WatchOrdersStream = FrameStream;

    async fn watch_order(&self, request: Request<WatchOrderRequest>) -> Result<Response<FrameStream>, Status> {
        let stream = self.open_order(request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream.into_stream())))
    }

    async fn watch_orders(&self, request: Request<WatchOrdersRequest>) -> Result<Response<FrameStream>, Status> {
        let stream = self.open_orders(request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream.into_stream())))
    }
}

impl Api {
    async fn open_order(&self, request: WatchOrderRequest) -> Result<OrderStream, ApiError> {
        let (order_id, after_version) = (parse_order_id(&request)?, request.after_version);
        let pace = self.pace(&self.single)?;
        // Before the store is asked: what happens in between then waits in the hub.
        let watching = self.hub.watch(order_id);
        let opening = self.store.opening(order_id, after_version).await?;
        let opening = opening.ok_or_else(|| ApiError::order_not_found(order_id))?;
        let watching = if planted!("snapshot-before-register") { self.hub.watch(order_id) } else { watching };
        if after_version > opening.version {
            return Err(version_ahead(after_version, opening.version));
        }
        Ok(OrderStream::new(watching, self.store.clone(), pace, after_version, opening))
    }

    async fn open_orders(&self, request: WatchOrdersRequest) -> Result<OrdersStream, ApiError> {
        use watch_orders_request::Start::{Now, ResumeToken, Snapshot};
        let filter = Filter::parse(request.filter)?;
        let start = request
            .start
            .ok_or_else(|| ApiError::invalid_field("start", "must be one of snapshot, now and resume_token"))?;
        let (store, pace) = (self.store.clone(), self.pace(&self.many)?);
        match start {
            Snapshot(()) => {
                // Before the store is asked, as above.
                let following = self.follow(&filter, Start::Now)?;
                let order_ids = self.matching_orders(&filter).await?;
                Ok(OrdersStream::snapshot(following, filter, store, pace, order_ids))
            }
            Now(()) => OrdersStream::live(self.follow(&filter, Start::Now)?, filter, store, pace),
            ResumeToken(bytes) => {
                let token = Token::decode(&bytes, filter.hash()).map_err(bad_token)?;
                let following = self.resume(&filter, token).await?;
                OrdersStream::live(following, filter, store, pace)
            }
        }
    }

    fn pace(&self, kind: &Kind) -> Result<Pace, ApiError> {
        Pace::new(self.times, kind, self.stop.clone())
    }

    fn follow(&self, filter: &Filter, start: Start) -> Result<Following, ApiError> {
        self.hub.follow(filter.clone(), start).map_err(refuse)
    }

    /// Another replica may have read further than this one: then the broker knows whether the token is a true one.
    async fn resume(&self, filter: &Filter, token: Token) -> Result<Following, ApiError> {
        match self.hub.follow(filter.clone(), Start::Token(token.clone())) {
            Err(NotFollowed::Beyond) => {}
            result => return result.map_err(refuse),
        }
        let ends = self.broker.ends().await?;
        if token.positions.exceeds(&ends) {
            return Err(token_expired());
        }
        self.follow(filter, Start::VerifiedToken(token))
    }

    async fn matching_orders(&self, filter: &Filter) -> Result<Vec<Uuid>, ApiError> {
        let order_ids = self.store.active_orders(filter.wanted(), MOST_ORDERS as i64 + 1).await?;
        if order_ids.len() <= MOST_ORDERS {
            return Ok(order_ids);
        }
        let message = format!("more than {MOST_ORDERS} orders match; narrow the filter, or watch from now on");
        Err(ApiError::new(Code::FailedPrecondition, reason::SNAPSHOT_TOO_LARGE, message))
    }
}

fn parse_order_id(request: &WatchOrderRequest) -> Result<Uuid, ApiError> {
    let mut violations = Violations::default();
    let order_id = violations.uuid("order_id", &request.order_id);
    violations.require(request.after_version >= 0, "after_version", "must be 0 or more");
    violations.check()?;
    Ok(order_id)
}

fn bad_token(error: token::StoreError) -> ApiError {
    match error {
        token::StoreError::Malformed => {
            ApiError::invalid_field("resume_token", "must be the resume_token of a response of this call")
        }
        token::StoreError::OtherFilter => {
            let message = "this resume_token belongs to a watch with another filter";
            ApiError::new(Code::InvalidArgument, reason::FILTER_MISMATCH, message)
        }
    }
}

fn refuse(error: NotFollowed) -> ApiError {
    match error {
        NotFollowed::NotReady => ApiError::unavailable(),
        NotFollowed::Expired | NotFollowed::Beyond => token_expired(),
    }
}
