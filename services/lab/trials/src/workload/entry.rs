//! How a client reaches the system: over gRPC at a process of a role, or over HTTP at a gateway. Both take and answer the same.

use comanda_proto::v1::{
    CreateOrderRequest, CreateOrderResponse, GetOrderRequest, GetOrderResponse, ListTransitionsRequest,
    ListTransitionsResponse, WatchOrderRequest, WatchOrdersRequest, WatchOrdersResponse,
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use tonic::Status;

use super::{
    http::Gateway,
    replicas::Way,
    sse::{self, Shown},
};

/// Where a call or a stream goes.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Grpc(Way),
    Http(Gateway),
}

impl Entry {
    /// Of the process, as in the history.
    pub(super) fn replica(&self) -> &str {
        match self {
            Self::Grpc(way) => &way.replica,
            Self::Http(gateway) => &gateway.name,
        }
    }

    pub(super) async fn create_order(&self, request: CreateOrderRequest) -> Result<CreateOrderResponse, Status> {
        match self {
            Self::Grpc(way) => Ok(way.orders().create_order(request).await?.into_inner()),
            Self::Http(gateway) => gateway.create_order(request).await,
        }
    }

    pub(super) async fn get_order(&self, request: GetOrderRequest) -> Result<GetOrderResponse, Status> {
        match self {
            Self::Grpc(way) => Ok(way.orders().get_order(request).await?.into_inner()),
            Self::Http(gateway) => gateway.get_order(request).await,
        }
    }

    pub(super) async fn list_transitions(
        &self,
        request: ListTransitionsRequest,
    ) -> Result<ListTransitionsResponse, Status> {
        match self {
            Self::Grpc(way) => Ok(way.lifecycle().list_transitions(request).await?.into_inner()),
            Self::Http(gateway) => gateway.list_transitions(request).await,
        }
    }

    /// Opens a stream of an order. Over HTTP it goes on after `last_event_id` alone, as browsers do; empty is the beginning.
    pub(super) async fn watch_order(
        &self,
        request: WatchOrderRequest,
        last_event_id: &str,
    ) -> Result<BoxStream<'static, Result<Shown, Status>>, Status> {
        match self {
            Self::Grpc(way) => {
                let responses = way.watches().watch_order(request).await?.into_inner();
                Ok(responses.map_ok(|response| (response, None)).boxed())
            }
            Self::Http(gateway) => Ok(match gateway.events_of_order(request, last_event_id).await? {
                Some(response) => sse::of_order(response).boxed(),
                None => stream::empty().boxed(),
            }),
        }
    }

    /// Opens a stream of many orders.
    pub(super) async fn watch_orders(
        &self,
        request: WatchOrdersRequest,
    ) -> Result<BoxStream<'static, Result<WatchOrdersResponse, Status>>, Status> {
        match self {
            Self::Grpc(way) => Ok(way.watches().watch_orders(request).await?.into_inner().boxed()),
            Self::Http(gateway) => Ok(match gateway.events_of_orders(request).await? {
                Some(response) => sse::of_orders(response).boxed(),
                None => stream::empty().boxed(),
            }),
        }
    }
}
