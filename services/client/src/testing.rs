//! A server that answers by a script, for tests of what a client does when things break.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
};

use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, BatchGetOrdersRequest, BatchGetOrdersResponse,
    CreateOrderRequest, CreateOrderResponse, EraseCustomerRequest, EraseCustomerResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse, WatchOrderRequest, WatchOrderResponse, WatchOrdersRequest,
    WatchOrdersResponse,
    order_service_server::{OrderService, OrderServiceServer},
    watch_service_server::{WatchService, WatchServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::address::Address;

/// The calls that arrived, and the answers to give, first to last. After the last answer it answers UNIMPLEMENTED, which no client repeats.
#[derive(Debug)]
pub struct Script<Q, A> {
    asked: Mutex<Vec<Q>>,
    answers: Mutex<VecDeque<Result<A, Status>>>,
}

/// One step of a stream. After the last step the stream ends with OK.
#[derive(Clone, Debug)]
pub enum Step<T> {
    /// Sends a response.
    Send(T),
    /// Ends with an error.
    End(Status),
    /// Sends nothing more, and does not end.
    Stall,
}

/// What the server answers.
#[allow(missing_docs)]
#[derive(Debug, Default)]
pub struct Fake {
    pub create: Script<CreateOrderRequest, CreateOrderResponse>,
    pub batch: Script<BatchCreateOrdersRequest, BatchCreateOrdersResponse>,
    pub get: Script<GetOrderRequest, GetOrderResponse>,
    pub batch_get: Script<BatchGetOrdersRequest, BatchGetOrdersResponse>,
    pub erase: Script<EraseCustomerRequest, EraseCustomerResponse>,
    pub list: Script<ListOrdersRequest, ListOrdersResponse>,
    pub watch_order: Script<WatchOrderRequest, Vec<Step<WatchOrderResponse>>>,
    pub watch_orders: Script<WatchOrdersRequest, Vec<Step<WatchOrdersResponse>>>,
}

impl<Q, A> Script<Q, A> {
    /// These answers.
    pub fn new(answers: impl IntoIterator<Item = Result<A, Status>>) -> Self {
        Self { asked: Mutex::default(), answers: Mutex::new(answers.into_iter().collect()) }
    }

    /// The calls that arrived since this was asked last.
    pub fn asked(&self) -> Vec<Q> {
        std::mem::take(&mut *self.asked.lock().expect("no holder of this lock panics"))
    }

    fn answer(&self, request: Request<Q>) -> Result<A, Status> {
        self.asked.lock().expect("no holder of this lock panics").push(request.into_inner());
        let next = self.answers.lock().expect("no holder of this lock panics").pop_front();
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
    pub async fn serve(self) -> (Arc<Self>, Address) {
        let fake = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string().parse().expect("an address");
        let server = Server::builder()
            .add_service(OrderServiceServer::from_arc(fake.clone()))
            .add_service(WatchServiceServer::from_arc(fake.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (fake, address)
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

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        self.get.answer(request).map(Response::new)
    }

    async fn batch_get_orders(
        &self,
        request: Request<BatchGetOrdersRequest>,
    ) -> Result<Response<BatchGetOrdersResponse>, Status> {
        self.batch_get.answer(request).map(Response::new)
    }

    async fn erase_customer(
        &self,
        request: Request<EraseCustomerRequest>,
    ) -> Result<Response<EraseCustomerResponse>, Status> {
        self.erase.answer(request).map(Response::new)
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        self.list.answer(request).map(Response::new)
    }
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn events<T: Send + 'static>(steps: Vec<Step<T>>) -> Response<Events<T>> {
    let stalls = steps.iter().any(|step| matches!(step, Step::Stall));
    let items = steps.into_iter().filter_map(|step| match step {
        Step::Send(response) => Some(Ok(response)),
        Step::End(status) => Some(Err(status)),
        Step::Stall => None,
    });
    let items = tokio_stream::iter(items.collect::<Vec<_>>());
    match stalls {
        true => Response::new(Box::pin(items.chain(tokio_stream::pending()))),
        false => Response::new(Box::pin(items)),
    }
}

#[tonic::async_trait]
impl WatchService for Fake {
    type WatchOrderStream = Events<WatchOrderResponse>;
    type WatchOrdersStream = Events<WatchOrdersResponse>;

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        self.watch_order.answer(request).map(events)
    }

    async fn watch_orders(
        &self,
        request: Request<WatchOrdersRequest>,
    ) -> Result<Response<Self::WatchOrdersStream>, Status> {
        self.watch_orders.answer(request).map(events)
    }
}
