//! A server that answers by a script, for tests of what the client does when things break.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, BatchGetOrdersRequest, BatchGetOrdersResponse,
    EraseCustomerRequest, EraseCustomerResponse, CreateOrderRequest, CreateOrderResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse, WatchOrderRequest, WatchOrderResponse, WatchOrdersRequest,
    WatchOrdersResponse,
    order_service_server::{OrderService, OrderServiceServer},
    watch_service_server::{WatchService, WatchServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::{Iter, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use super::{Client, connect::Servers, print::Printer};

/// The calls that came, and the answers to give, first to last.
#[derive(Debug)]
pub struct Script<Q, A> {
    asked: Mutex<Vec<Q>>,
    answers: Mutex<VecDeque<Result<A, Status>>>,
}

/// What the server answers. A script that has ended answers UNIMPLEMENTED, which no client repeats.
#[derive(Debug, Default)]
pub struct Fake {
    pub create: Script<CreateOrderRequest, CreateOrderResponse>,
    pub batch: Script<BatchCreateOrdersRequest, BatchCreateOrdersResponse>,
    pub watch_order: Script<WatchOrderRequest, Vec<Result<WatchOrderResponse, Status>>>,
    pub watch_orders: Script<WatchOrdersRequest, Vec<Result<WatchOrdersResponse, Status>>>,
}

impl<Q, A> Script<Q, A> {
    pub fn new(answers: impl IntoIterator<Item = Result<A, Status>>) -> Self {
        Self { asked: Mutex::default(), answers: Mutex::new(answers.into_iter().collect()) }
    }

    /// The calls that came since this was asked last.
    pub fn asked(&self) -> Vec<Q> {
        std::mem::take(&mut *self.asked.lock().expect("no test panicked"))
    }

    fn answer(&self, request: Request<Q>) -> Result<A, Status> {
        self.asked.lock().expect("no test panicked").push(request.into_inner());
        let next = self.answers.lock().expect("no test panicked").pop_front();
        next.unwrap_or_else(|| Err(Status::unimplemented("the script is over")))
    }
}

impl<Q, A> Default for Script<Q, A> {
    fn default() -> Self {
        Self::new([])
    }
}

impl Fake {
    /// Serves on a free port until the test ends.
    pub async fn serve(self) -> (Arc<Self>, Client) {
        let fake = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let server = Server::builder()
            .add_service(OrderServiceServer::from_arc(fake.clone()))
            .add_service(WatchServiceServer::from_arc(fake.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (fake, Client { servers: Servers::at(&address), print: Printer::new(true) })
    }
}

#[tonic::async_trait]
impl OrderService for Fake {
    async fn batch_create_orders(
        &self,
        request: Request<BatchCreateOrdersRequest>,
    ) -> Result<Response<BatchCreateOrdersResponse>, Status> {
        self.batch.answer(request).map(Response::new)
    }

    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        self.create.answer(request).map(Response::new)
    }

    async fn get_order(&self, _: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn batch_get_orders(
        &self,
        _: Request<BatchGetOrdersRequest>,
    ) -> Result<Response<BatchGetOrdersResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_orders(&self, _: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn erase_customer(
        &self,
        _: Request<EraseCustomerRequest>,
    ) -> Result<Response<EraseCustomerResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

type Events<T> = Iter<std::vec::IntoIter<Result<T, Status>>>;

#[tonic::async_trait]
impl WatchService for Fake {
    type WatchOrderStream = Events<WatchOrderResponse>;
    type WatchOrdersStream = Events<WatchOrdersResponse>;

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        self.watch_order.answer(request).map(|events| Response::new(tokio_stream::iter(events)))
    }

    async fn watch_orders(
        &self,
        request: Request<WatchOrdersRequest>,
    ) -> Result<Response<Self::WatchOrdersStream>, Status> {
        self.watch_orders.answer(request).map(|events| Response::new(tokio_stream::iter(events)))
    }
}
