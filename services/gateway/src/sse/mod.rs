//! Watches as server-sent events. The ids of events are our versions and tokens, so that a browser that was cut off goes on by itself.
//!
//! A browser gives a stream up for ever on any status but 200. So what repeating can help is an `event: problem` in a stream that was opened,
//! with a wait, and then its end; what is wrong for good is a status. A stream whose order has ended says `event: end`; the browser comes
//! once more, and 204 makes it stay away.

mod event;
mod live;
mod watch;

use std::time::Duration;

use axum::{
    body::Body,
    extract::{RawPathParams, Request, State},
    http::{HeaderValue, Response, StatusCode, header, request::Parts as Head},
};
use bytes::Bytes;
use futures::stream;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use self::{
    event::Event,
    live::{Live, Opened},
    watch::Kind,
};
use crate::{
    problem::Problem,
    request::{self, Parts},
    rest::{Served, path_of},
};

/// How long a browser waits before it comes again, at least; at most twice as long, so that not all come at once.
const WAIT: Duration = Duration::from_secs(1);

/// A route of events.
#[derive(Clone, Debug)]
pub struct Events {
    /// The route.
    pub served: Served,
    /// Cancelled when streams are to end.
    pub stop: CancellationToken,
}

/// Answers with a stream of events.
pub async fn answer(State(events): State<Events>, path: RawPathParams, request: Request) -> Response<Body> {
    let path = path_of(&path);
    events.try_answer(&path, &request.into_parts().0).await.unwrap_or_else(Problem::into_response)
}

impl Events {
    /// Answers a request with these parts of the path, by name. What repeating can help is no error.
    pub async fn try_answer(&self, path: &[(String, String)], head: &Head) -> Result<Response<Body>, Problem> {
        match self.open(path, head).await {
            Ok(Opened::Live(live)) => Ok(stream_of(*live)),
            Ok(Opened::NothingMore) => Ok(nothing_more()),
            Err(problem) if problem.is_transient() => Ok(one_problem(&problem)),
            Err(problem) => Err(problem),
        }
    }

    async fn open(&self, path: &[(String, String)], head: &Head) -> Result<Opened, Problem> {
        let place = self.served.context.places.stream()?;
        let kind = Kind::of(&self.served.method);
        let mut query = crate::query::pairs(head.uri.query().unwrap_or_default());
        let start = kind.start(&head.headers, &mut query)?;
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let parts = Parts { path, query: &query, headers: &head.headers, body: &[] };
        let message = request::build(self.served.route, &self.served.method.input(), &parts)?;
        let metadata = crate::call::metadata_of(&head.headers);
        Live::open(self.served.clone(), kind, start, message, metadata, place, self.stop.clone()).await
    }
}

fn stream_of(live: Live) -> Response<Body> {
    let items = stream::unfold(live, |mut live| async move {
        let bytes = live.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), live))
    });
    response(StatusCode::OK, Body::from_stream(items))
}

fn nothing_more() -> Response<Body> {
    response(StatusCode::NO_CONTENT, Body::empty())
}

/// A stream that says only that it cannot be one now.
fn one_problem(problem: &Problem) -> Response<Body> {
    response(StatusCode::OK, Body::from(problem_event(problem)))
}

fn problem_event(problem: &Problem) -> Bytes {
    let wait = problem.retry_after().unwrap_or_default().max(WAIT);
    Event::new("problem", problem.to_json()).retry(jittered(wait)).to_bytes()
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(1.0..=2.0))
}

fn response(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status == StatusCode::OK {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and others keep answers back until they have a buffer full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
