//! Everything that is served, put together, and what holds for all of it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, Response, StatusCode, header},
    middleware::{self, Next},
    routing::{MethodFilter, MethodRouter, get, on, post},
};
use comanda_client::Code;
use comanda_kit::access::Strangers;
use metrics::counter;
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;

use crate::{
    guard::Guard,
    pages,
    problem::{Problem, only_here},
    rest::{self, Context, Served},
    rpc,
    seed::{self, Seed},
    sse::{self, Events},
    table::{Route, TABLE},
    track,
};

/// How long a browser may remember what other origins are allowed.
const CORS_AGE: Duration = Duration::from_secs(3600);

/// Pages of one order each.
const TRACKED: &str = "/t/";
/// The code as gRPC-Web writes it.
const UNAUTHENTICATED: &str = "16";

/// The routes of the API and all others.
pub fn router(
    context: Arc<Context>,
    seed: Seed,
    guard: Guard,
    strangers: Strangers,
    stop: &CancellationToken,
) -> Router {
    let mut calls = Router::new()
        .route("/new_order", post(seed::new_order).with_state(seed.clone()))
        .route("/orders", get(seed::orders).with_state(seed))
        .merge(rpc::routes(&context, stop))
        .merge(track::routes(&context, stop));
    for route in &TABLE {
        calls = calls.route(route.path, served(route, &context, stop));
    }
    let router = calls
        .route_layer(middleware::from_fn_with_state((strangers, context.clone()), counted))
        .route("/healthz", get(health).with_state(stop.clone()))
        .merge(pages::routes());
    let router = router.fallback(no_such_route).method_not_allowed_fallback(method_not_allowed);
    let router = if guard.origins.is_empty() { router } else { router.layer(cors(&guard)) };
    router.layer(middleware::from_fn_with_state(Arc::new(guard), guarded))
}

fn served(route: &'static Route, context: &Arc<Context>, stop: &CancellationToken) -> MethodRouter {
    let method = context.schema.method(route.rpc).expect("a test reads the table");
    let is_stream = method.is_server_streaming();
    let served = Served { context: context.clone(), route, method };
    let verb = MethodFilter::try_from(route.method.clone()).expect("GET, POST and PUT are methods");
    match is_stream {
        true => on(verb, sse::answer).with_state(Events { served, stop: stop.clone() }),
        false => on(verb, rest::answer).with_state(served),
    }
}

/// Whether to send requests here. The gateway itself needs nothing to serve.
async fn health(State(stop): State<CancellationToken>) -> Response<Body> {
    if stop.is_cancelled() {
        return Problem::shutting_down().into_response();
    }
    Response::new(Body::from("ok\n"))
}

async fn no_such_route() -> Response<Body> {
    Problem::no_such_route().into_response()
}

async fn method_not_allowed() -> Response<Body> {
    let (status, detail) = (StatusCode::METHOD_NOT_ALLOWED, "this path takes another method; see the header Allow");
    Problem::new(status, Code::Unimplemented, only_here::METHOD_NOT_ALLOWED, detail).into_response()
}

/// Refuses further requests of an address of which too many had no good credentials. The servers behind see only this gateway.
async fn counted(
    State((strangers, context)): State<(Strangers, Arc<Context>)>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let (address, shown) = (request.extensions().get().copied(), credentials(&request));
    if let Err(error) = strangers.admit(address, shown.as_deref()) {
        return Problem::of_call(&error.into(), false, &context.schema).into_response();
    }
    let is_page = request.uri().path().starts_with(TRACKED);
    let response = next.run(request).await;
    let of_grpc = response.headers().get("grpc-status").is_some_and(|status| status == UNAUTHENTICATED);
    // A page of an order says of no token that it was one.
    let is_gone = is_page && response.status() == StatusCode::NOT_FOUND;
    if response.status() == StatusCode::UNAUTHORIZED || of_grpc || is_gone {
        strangers.failed(address);
    } else if response.status().is_success() {
        strangers.passed(shown.as_deref());
    }
    response
}

/// What a request shows: in its header, or for the page of an order in its path.
fn credentials(request: &Request) -> Option<Vec<u8>> {
    let in_path = request.uri().path().strip_prefix(TRACKED).and_then(|rest| rest.split('/').next());
    let header = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    in_path.map(str::as_bytes).or(header).map(<[u8]>::to_vec)
}

/// Looks at each request before anything else does.
async fn guarded(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response<Body> {
    let mut response = match guard.refusal(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let status = response.status().as_u16().to_string();
    counter!("comanda_gateway_requests_total", "status" => status).increment(1);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What Connect, gRPC-Web and our own routes need of a page of another origin, and show it.
fn cors(guard: &Guard) -> CorsLayer {
    let names = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(guard.origins.clone())
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers(names(&[
            "authorization",
            "content-type",
            "connect-protocol-version",
            "connect-timeout-ms",
            "connect-accept-encoding",
            "connect-content-encoding",
            "grpc-timeout",
            "x-grpc-web",
            "x-user-agent",
            "last-event-id",
            "idempotency-key",
            "if-match",
        ]))
        .expose_headers(names(&[
            "etag",
            "location",
            "link",
            "retry-after",
            "idempotency-replayed",
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
        ]))
        .max_age(CORS_AGE)
}
