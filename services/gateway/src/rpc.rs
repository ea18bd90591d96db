//! Connect and gRPC-Web for every rpc, through the crate connectrpc. No other file knows it.
//!
//! Messages of protobuf pass through as bytes; JSON is read and written as on all other routes.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
    routing::any_service,
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use comanda_kit::errors::ApiError;
use connectrpc::{
    CodecFormat, ConnectError, ConnectRpcService, Dispatcher, EncodedBody, ErrorCode, ErrorDetail, Limits,
    MethodDescriptor as Shape, MethodKind, Payload, RequestContext,
    dispatcher::{RequestStream, StreamingResult, UnaryResult},
};
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    call::{Responses, metadata_of},
    json, limits,
    problem::Problem,
    rest::Context,
    schema,
};

/// Servers send a heartbeat every 15 s. What is silent for longer than three is gone.
const SILENCE: Duration = Duration::from_secs(45);

/// A route for each rpc: `/comanda.v1.OrderService/GetOrder`.
pub fn routes(context: &Arc<Context>, stop: &CancellationToken) -> Router {
    let paths: Vec<_> =
        context.schema.methods().iter().map(|method| (schema::path_of(method), method.clone())).collect();
    let calls = Calls {
        context: context.clone(),
        methods: paths.iter().map(|(path, method)| (path.trim_start_matches('/').to_owned(), method.clone())).collect(),
        stop: stop.clone(),
    };
    let service = ConnectRpcService::new(calls);
    paths.into_iter().fold(Router::new(), |router, (path, method)| {
        let (service, context) = (service.clone(), context.clone());
        let bounded =
            tower::service_fn(move |request| bounded(service.clone(), context.clone(), method.clone(), request));
        router.route(&path, any_service(bounded))
    })
}

/// Serves a request within the bounds of the gateway: with a place, which it keeps until its answer is sent, and with a body that is whole
/// before anything is done.
async fn bounded(
    service: ConnectRpcService<Calls>,
    context: Arc<Context>,
    method: MethodDescriptor,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible> {
    let headers = request.headers().clone();
    let admitted = async {
        let is_stream = method.is_server_streaming() || method.is_client_streaming();
        let place = if is_stream { context.places.stream()? } else { context.places.call()? };
        if method.is_client_streaming() {
            return Ok((request, place));
        }
        let (head, body) = request.into_parts();
        let body = limits::read(body, limits::most_bytes(&method)).await?;
        Ok::<_, Problem>((Request::from_parts(head, Body::from(body)), place))
    };
    match admitted.await {
        Ok((request, place)) => {
            let response = tower::ServiceExt::oneshot(service, request).await?;
            Ok(response.map(|body| Body::new(body.map_frame(move |frame| keeping(&place, frame)))))
        }
        Err(problem) => Ok(refused(&problem).into_http_response(&headers).map(Body::new)),
    }
}

/// Ties a place to the frames of an answer: it is free when the body is dropped.
fn keeping<T>(_place: &OwnedSemaphorePermit, frame: T) -> T {
    frame
}

/// A refusal of the gateway's own, before there was a call.
fn refused(problem: &Problem) -> ConnectError {
    let code = match problem.status.as_u16() {
        413 => ErrorCode::OutOfRange,
        429 => ErrorCode::ResourceExhausted,
        408 => ErrorCode::DeadlineExceeded,
        _ => ErrorCode::InvalidArgument,
    };
    ConnectError::new(code, problem.detail())
}

/// The rpcs, as connectrpc calls them.
struct Calls {
    context: Arc<Context>,
    /// By path, without the slash in front.
    methods: HashMap<String, MethodDescriptor>,
    stop: CancellationToken,
}

impl Dispatcher for Calls {
    fn lookup(&self, path: &str) -> Option<Shape> {
        let method = self.methods.get(path)?;
        let kind = match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => MethodKind::Unary,
            (false, true) => MethodKind::ServerStreaming,
            (true, false) => MethodKind::ClientStreaming,
            (true, true) => MethodKind::BidiStreaming,
        };
        let most = limits::most_bytes(method);
        let limits = Limits::default().with_max_request_body_size(most).with_max_message_size(most);
        Some(Shape::from_kind(kind).with_limits(limits))
    }

    fn call_unary(&self, path: &str, ctx: RequestContext, request: Payload, format: CodecFormat) -> UnaryResult {
        let Some(method) = self.methods.get(path).cloned() else { return Box::pin(async { Err(unknown()) }) };
        let context = self.context.clone();
        Box::pin(async move {
            let message = to_proto(&method.input(), request.encoded()?, format)?;
            let answer = context.servers.unary(&method, message, metadata_of(ctx.headers()), deadline(&context, &ctx));
            from_proto(&method.output(), answer.await.map_err(|status| error(&status))?, format)
        })
    }

    fn call_server_streaming(
        &self,
        path: &str,
        ctx: RequestContext,
        request: Bytes,
        format: CodecFormat,
    ) -> StreamingResult {
        let Some(method) = self.methods.get(path).cloned() else { return Box::pin(async { Err(unknown()) }) };
        let (context, stop) = (self.context.clone(), self.stop.clone());
        Box::pin(async move {
            let message = to_proto(&method.input(), request, format)?;
            let responses = context.servers.stream(&method, message, metadata_of(ctx.headers())).await;
            let responses = responses.map_err(|status| error(&status))?;
            let items = items(responses, method.output(), format, ctx.time_remaining(), stop);
            connectrpc::Response::stream_ok(items)
        })
    }

    fn call_client_streaming(
        &self,
        path: &str,
        ctx: RequestContext,
        requests: RequestStream,
        format: CodecFormat,
    ) -> UnaryResult {
        let Some(method) = self.methods.get(path).cloned() else { return Box::pin(async { Err(unknown()) }) };
        let context = self.context.clone();
        Box::pin(async move {
            let wrong = Arc::new(Mutex::new(None));
            let messages = messages(requests, method.input(), format, wrong.clone());
            let answer = context.servers.upload(&method, messages, metadata_of(ctx.headers()), ctx.time_remaining());
            let answer = answer.await;
            if let Some(wrong) = wrong.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(wrong);
            }
            from_proto(&method.output(), answer.map_err(|status| error(&status))?, format)
        })
    }

    fn call_bidi_streaming(&self, _: &str, _: RequestContext, _: RequestStream, _: CodecFormat) -> StreamingResult {
        // The API has none.
        Box::pin(async { Err(unknown()) })
    }
}

fn unknown() -> ConnectError {
    ConnectError::unimplemented("this server has no such rpc")
}

/// The caller's own deadline, where it is shorter than ours.
fn deadline(context: &Context, ctx: &RequestContext) -> Duration {
    ctx.time_remaining().unwrap_or(Duration::MAX).min(context.deadline)
}

fn to_proto(message: &MessageDescriptor, body: Bytes, format: CodecFormat) -> Result<Bytes, ConnectError> {
    match format {
        CodecFormat::Json => match json::read(message, &body) {
            Ok(read) => Ok(read.encode_to_vec().into()),
            Err(violations) => {
                let violations = violations.into_iter();
                let violations = violations.map(|v| tonic_types::FieldViolation::new(v.field, v.description)).collect();
                Err(error(&ApiError::invalid(violations).into()))
            }
        },
        _ => Ok(body),
    }
}

fn from_proto(
    message: &MessageDescriptor,
    body: Bytes,
    format: CodecFormat,
) -> Result<connectrpc::EncodedResponse, ConnectError> {
    Ok(connectrpc::Response::from(encoded(message, body, format)?))
}

fn encoded(message: &MessageDescriptor, body: Bytes, format: CodecFormat) -> Result<EncodedBody, ConnectError> {
    let body = match format {
        CodecFormat::Json => json::of_bytes(message, body).ok_or_else(|| error(&ApiError::internal().into()))?.into(),
        _ => body,
    };
    Ok(EncodedBody::from(body))
}

/// The responses of a stream, until it ends, falls silent, its deadline passes, or the gateway stops.
fn items(
    responses: Responses,
    message: MessageDescriptor,
    format: CodecFormat,
    deadline: Option<Duration>,
    stop: CancellationToken,
) -> impl futures::Stream<Item = Result<EncodedBody, ConnectError>> + Send + 'static {
    let deadline = deadline.map(|deadline| Instant::now() + deadline);
    stream::unfold(Some(responses), move |open| {
        let (message, stop) = (message.clone(), stop.clone());
        async move {
            let mut responses = open?;
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => Err(ApiError::shutting_down().into()),
                () = passed(deadline) => Err(ApiError::deadline_exceeded().into()),
                next = timeout(SILENCE, responses.next()) => next.unwrap_or_else(|_| Err(ApiError::timed_out().into())),
            };
            match next {
                Ok(None) => None,
                Ok(Some(response)) => Some((encoded(&message, response, format), Some(responses))),
                Err(status) => Some((Err(error(&status)), None)),
            }
        }
    })
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The messages of an upload. One that is wrong ends it, and is noted.
fn messages(
    requests: RequestStream,
    message: MessageDescriptor,
    format: CodecFormat,
    wrong: Arc<Mutex<Option<ConnectError>>>,
) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    requests.scan((), move |(), request| {
        let read = request.and_then(|request| to_proto(&message, request, format));
        let sent = read.map_err(|error| *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(error)).ok();
        std::future::ready(sent)
    })
}

/// An error of a call with all its details.
fn error(status: &Status) -> ConnectError {
    let code = ErrorCode::from_grpc_code(status.code() as u32).unwrap_or(ErrorCode::Unknown);
    let details = tonic_types::pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    let detail = |any: prost_types::Any| ErrorDetail {
        type_url: any.type_url.rsplit('/').next().unwrap_or_default().to_owned(),
        value: Some(STANDARD_NO_PAD.encode(any.value)),
        debug: None,
    };
    details.into_iter().map(detail).fold(ConnectError::new(code, status.message()), ConnectError::with_detail)
}
