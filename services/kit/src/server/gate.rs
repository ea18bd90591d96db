//! The way of a call through the server: what is refused before a service sees it, and what bounds it after.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Service, ServiceExt};

use super::{
    answers::{Answers, ProcessBytes},
    protocol,
    time_limit::TimeLimit,
};
use crate::{errors::ApiError, rpcs};

/// Calls of health are answered from memory, and must be answered when the server is overloaded too.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What all connections share.
pub struct Gate {
    places: Arc<Semaphore>,
    pub process: ProcessBytes,
}

/// What the calls of one connection share.
#[derive(Clone)]
pub struct Connection {
    pub gate: Arc<Gate>,
    pub answers: Arc<Answers>,
    /// Cancelled when streams of the connection must end.
    pub ends: CancellationToken,
}

impl Gate {
    /// Lets at most this many calls in at a time, over all connections.
    pub fn new(max_calls: usize) -> Self {
        let places = Arc::new(Semaphore::new(max_calls.min(Semaphore::MAX_PERMITS)));
        Self { places, process: ProcessBytes::default() }
    }

    /// A place among the calls in progress, or a refusal at once.
    fn admit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            counter!("comanda_refused_calls_total", "reason" => "calls").increment(1);
            ApiError::overloaded()
        })
    }
}

impl Connection {
    /// Answers a call.
    pub async fn answer<S>(self, service: S, request: Request<Body>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        if let Some(refusal) = protocol::refusal(&request) {
            protocol::drain(request.into_body()).await;
            return refusal;
        }
        match self.answer_grpc(service, request).await {
            Ok(answer) => answer,
            Err(error) => Status::from(error).into_http(),
        }
    }

    async fn answer_grpc<S>(self, service: S, request: Request<Body>) -> Result<Response<Body>, ApiError>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let path = request.uri().path();
        let (is_health, is_stream) = (path.starts_with(HEALTH), rpcs::ours().is_stream(path));
        let is_upload = rpcs::ours().is_upload(path);
        let limit = TimeLimit::of_call(request.headers())?;
        let limit = if is_upload { limit.for_upload() } else { limit };
        let place = if is_health { None } else { Some(self.enter(is_stream)?) };
        // It lasts as long as a stream of answers, which keeps no place either. The service bounds how many there are.
        let place = place.filter(|_| !is_upload);
        let answer = limit.bound(service.oneshot(request)).await?.map_err(|_| ApiError::internal())?;
        drop(place);
        let answer = protocol::explained(answer);
        if is_stream {
            return Ok(answer.map(|stream| limit.end_stream(stream, &self.ends)));
        }
        Ok(self.answers.hold(answer).await)
    }

    fn enter(&self, is_stream: bool) -> Result<OwnedSemaphorePermit, ApiError> {
        if !is_stream {
            self.answers.check_room()?;
        }
        self.gate.admit()
    }
}
