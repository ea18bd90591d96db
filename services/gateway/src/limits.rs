//! What the gateway takes at a time, and how large a request may be.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use metrics::counter;
use prost_reflect::MethodDescriptor;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    problem::{Problem, only_here},
    schema,
};

/// The servers take 256 KiB and 64 KiB of protobuf. The same in JSON is up to about twice as large.
const MOST_ORDER_BYTES: usize = 512 * 1024;
const MOST_OTHER_BYTES: usize = 128 * 1024;
/// How long the body of a request may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bounded places for what goes on.
#[derive(Clone, Debug)]
pub struct Places {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Places {
    /// Allows at most this many calls and this many streams at a time.
    pub fn new(calls: usize, streams: usize) -> Self {
        let semaphore = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { calls: semaphore(calls), streams: semaphore(streams) }
    }

    /// A place for a call, or a refusal at once.
    pub fn call(&self) -> Result<OwnedSemaphorePermit, Problem> {
        enter(&self.calls, "calls")
    }

    /// A place for a stream, or a refusal at once.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        enter(&self.streams, "streams")
    }
}

fn enter(places: &Arc<Semaphore>, what: &'static str) -> Result<OwnedSemaphorePermit, Problem> {
    places.clone().try_acquire_owned().map_err(|_| {
        counter!("comanda_gateway_refused_total", "reason" => what).increment(1);
        Problem::overloaded()
    })
}

/// How large the body of a request of this rpc may be.
pub fn most_bytes(method: &MethodDescriptor) -> usize {
    if schema::role_of(method) == comanda_client::Role::Ordering { MOST_ORDER_BYTES } else { MOST_OTHER_BYTES }
}

/// Reads a body of JSON, whole.
pub async fn read_json(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    check_json(headers)?;
    read(body, most).await
}

/// Reads a body, whole.
pub async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    let reading = timeout(PATIENCE, Limited::new(body, most).collect()).await.map_err(|_| too_slow())?;
    match reading {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(most)),
        Err(_) => Err(Problem::invalid_field("body", "could not be read to its end")),
    }
}

/// A page of another origin may send many things without asking, but not JSON.
fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok()).unwrap_or_default();
    let kind = text("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" {
        return Err(Problem::unsupported_media_type("the body must be JSON: content-type application/json"));
    }
    if !matches!(text("content-encoding"), "" | "identity") {
        return Err(Problem::unsupported_media_type("the body must not be compressed"));
    }
    Ok(())
}

fn too_slow() -> Problem {
    let detail = format!("the body of this request did not come within {} s", PATIENCE.as_secs());
    let status = axum::http::StatusCode::REQUEST_TIMEOUT;
    Problem::new(status, comanda_client::Code::DeadlineExceeded, only_here::REQUEST_TIMEOUT, detail)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, StatusCode};

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        HeaderMap::from_iter(
            all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("one"))),
        )
    }

    async fn status(all: &[(&'static str, &'static str)], bytes: usize) -> Option<StatusCode> {
        read_json(&headers(all), Body::from(vec![b' '; bytes]), 10).await.err().map(|problem| problem.status)
    }

    #[tokio::test]
    async fn only_plain_json_of_a_bounded_size_is_read() {
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(status(&[json], 10).await, None);
        assert_eq!(status(&[json], 11).await, Some(StatusCode::PAYLOAD_TOO_LARGE));
        for wrong in [&[][..], &[("content-type", "text/plain")], &[json, ("content-encoding", "gzip")]] {
            assert_eq!(status(wrong, 1).await, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = read_json(&headers(&[("content-type", "application/json")]), never, 10).await.expect_err("late");
        assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn beyond_the_places_a_call_is_refused_at_once() {
        let places = Places::new(1, 1);
        let place = places.call().expect("free");
        assert_eq!(places.call().expect_err("full").status, StatusCode::TOO_MANY_REQUESTS);
        assert!(places.stream().is_ok());
        drop(place);
        assert!(places.call().is_ok());
    }
}
