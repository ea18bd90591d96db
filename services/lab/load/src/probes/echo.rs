//! Unary calls to a server that answers each order with the same constant: what gRPC alone costs. Server and clients share this process.

use std::time::Duration;

use anyhow::{Result, ensure};
use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, BatchGetOrdersRequest, BatchGetOrdersResponse,
    CreateOrderRequest, CreateOrderResponse, EraseCustomerRequest, EraseCustomerResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse, Order,
    order_service_server::{OrderService, OrderServiceServer},
};
use indicatif::ProgressBar;
use tonic::{Request, Response, Status, service::Routes};

use super::server::Running;
use crate::{
    clients::{CONNECTIONS, Connections},
    generator::{self, Pace, Until},
    orders::order,
    report::{Better, Run},
};

const CLIENTS: usize = 64;

/// Notes calls a second and how long they take.
pub async fn calls(duration: Duration, run: &mut Run) -> Result<()> {
    let server = Running::start(Routes::new(OrderServiceServer::new(Constant::new()))).await?;
    let connections = Connections::open(server.address, CONNECTIONS).await?;
    let pace = Pace::Closed { clients: CLIENTS };
    let outcomes = generator::run(pace, Until::Elapsed(duration), &ProgressBar::hidden(), move |n| {
        let connections = connections.clone();
        async move { connections.create(n, order(n, false)).await.0 }
    })
    .await;
    ensure!(outcomes.done() > 0, "the server of the probe answers nothing");
    run.figure("unary gRPC calls, 64 clients", "1/s", outcomes.per_second(), Better::Higher);
    run.timing(outcomes.tally.latency.latency("unary gRPC call"));
    Ok(())
}

struct Constant(CreateOrderResponse);

impl Constant {
    /// An order as ordering answers it.
    fn new() -> Self {
        let CreateOrderRequest { customer, items, workflow, labels, .. } = order(0, false);
        let order_id = uuid::Uuid::now_v7().to_string();
        let status = "received".into();
        let order = Order { order_id, customer, items, workflow, labels, status, version: 1, ..Order::default() };
        Self(CreateOrderResponse { order: Some(order), ..Default::default() })
    }
}

fn unimplemented<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the probe only takes orders"))
}

#[async_trait::async_trait]
impl OrderService for Constant {
    async fn create_order(&self, _: Request<CreateOrderRequest>) -> Result<Response<CreateOrderResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn batch_create_orders(
        &self,
        _: Request<BatchCreateOrdersRequest>,
    ) -> Result<Response<BatchCreateOrdersResponse>, Status> {
        unimplemented()
    }

    async fn get_order(&self, _: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        unimplemented()
    }

    async fn batch_get_orders(
        &self,
        _: Request<BatchGetOrdersRequest>,
    ) -> Result<Response<BatchGetOrdersResponse>, Status> {
        unimplemented()
    }

    async fn erase_customer(
        &self,
        _: Request<EraseCustomerRequest>,
    ) -> Result<Response<EraseCustomerResponse>, Status> {
        unimplemented()
    }

    async fn list_orders(&self, _: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        unimplemented()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_call_is_answered() -> Result<()> {
        let mut run = Run::default();
        calls(Duration::from_millis(100), &mut run).await?;
        assert!(run.value("unary gRPC calls, 64 clients").is_some_and(|rate| rate > 0.0));
        assert!(run.value("unary gRPC call p99").is_some());
        Ok(())
    }
}
