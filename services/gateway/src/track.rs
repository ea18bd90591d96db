//! The tracking page of one order: `/t/{token}`. The token is part of the URL, so that a link in a mail is enough. The gateway passes it on as the
//! caller's credentials; the servers verify it.
//!
//! Whatever is wrong with a token is 404. Nothing can be changed here: programs that check mails follow their links.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, Method, Response, StatusCode, Uri, header},
    routing::get,
};
use comanda_kit::tracking::order_of;
use tokio_util::sync::CancellationToken;

use crate::{
    pages,
    problem::Problem,
    rest::{Context, Served},
    sse::Events,
    table::TABLE,
};

/// What the page needs, each as a route of the API has it.
#[derive(Clone)]
struct Track {
    order: Served,
    workflow: Served,
    events: Events,
}

/// The routes of the page.
pub fn routes(context: &Arc<Context>, stop: &CancellationToken) -> Router {
    let served = |path: &str| {
        let route = TABLE.iter().find(|route| route.path == path && route.method == Method::GET);
        let route = route.expect("a test opens the page");
        let method = context.schema.method(route.rpc).expect("a test reads the table");
        Served { context: context.clone(), route, method }
    };
    let track = Track {
        order: served("/v1/orders/{order_id}"),
        workflow: served("/v1/workflows/{name}"),
        events: Events { served: served("/v1/orders/{order_id}/events"), stop: stop.clone() },
    };
    Router::new()
        .route("/t/{token}", get(page))
        .route("/t/{token}/order", get(order))
        .route("/t/{token}/workflows/{name}", get(workflow))
        .route("/t/{token}/events", get(events))
        .with_state(track)
}

async fn page(State(track): State<Track>, Path(token): Path<String>) -> Response<Body> {
    let answer = match track.order(&token).await {
        Ok(_) => pages::page("track.html", StatusCode::OK),
        Err(problem) if problem.is_transient() => problem.into_response(),
        Err(_) => pages::page("gone.html", StatusCode::NOT_FOUND),
    };
    private(answer)
}

async fn order(State(track): State<Track>, Path(token): Path<String>) -> Response<Body> {
    private(track.order(&token).await.unwrap_or_else(hidden))
}

async fn workflow(State(track): State<Track>, Path((token, name)): Path<(String, String)>, uri: Uri) -> Response<Body> {
    let Some(request) = asked(&token, uri.query()) else { return private(hidden(Problem::no_such_route())) };
    let path = [("name".to_owned(), name)];
    private(track.workflow.try_answer(&path, request).await.unwrap_or_else(hidden))
}

async fn events(State(track): State<Track>, Path(token): Path<String>, request: Request) -> Response<Body> {
    let (Some(path), Some(credentials)) = (path_of(&token), credentials(&token)) else {
        return private(hidden(Problem::no_such_route()));
    };
    let (mut head, _) = request.into_parts();
    head.headers.insert(header::AUTHORIZATION, credentials);
    private(track.events.try_answer(&path, &head).await.unwrap_or_else(hidden))
}

impl Track {
    async fn order(&self, token: &str) -> Result<Response<Body>, Problem> {
        let (path, request) = path_of(token).zip(asked(token, None)).ok_or_else(Problem::no_such_route)?;
        self.order.try_answer(&path, request).await
    }
}

fn path_of(token: &str) -> Option<[(String, String); 1]> {
    Some([("order_id".to_owned(), order_of(token)?.to_string())])
}

/// A request without a body, in the name of the token.
fn asked(token: &str, query: Option<&str>) -> Option<Request> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = format!("/?{}", query.unwrap_or_default()).parse().ok()?;
    request.headers_mut().insert(header::AUTHORIZATION, credentials(token)?);
    Some(request)
}

fn credentials(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What is wrong with a token is nobody's business.
fn hidden(problem: Problem) -> Response<Body> {
    if problem.is_transient() { problem } else { Problem::no_such_route() }.into_response()
}

/// Neither kept by anybody, nor found by search engines, nor told to pages that it links to.
fn private(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    headers.remove(header::ETAG);
    response
}
