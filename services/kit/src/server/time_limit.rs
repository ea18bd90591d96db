//! How long a call may take: until the client's deadline, and never longer than the server allows. A stream of answers counts until it is open;
//! later it ends with its deadline or with its connection. A stream of requests is answered only at its end, so it may take longer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use comanda_proto::errors::reason;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Response},
};

use crate::{
    deadline,
    errors::{ApiError, RETRY_AFTER},
};

/// How long a call may take until it is answered, or its stream is open. Nothing else bounds a call whose message never comes, and
/// such calls of a few connections would take all places.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a client may stream its requests. A service that takes them ends the stream earlier, and says so.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(40 * 60);
/// What a service gets, beyond the deadline, to end a stream by itself and say where to resume.
const COURTESY: Duration = Duration::from_millis(500);

/// When a call ends.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit {
    deadline: Option<Instant>,
    server_limit: Instant,
}

impl TimeLimit {
    /// Of a call that begins now. A `grpc-timeout` that is not as gRPC has it is refused: ignored, it would surprise its client.
    pub fn of_call(headers: &HeaderMap) -> Result<Self, ApiError> {
        let (now, timeout) = (Instant::now(), deadline::of_call(headers));
        if headers.contains_key("grpc-timeout") && timeout.is_none() {
            return Err(ApiError::invalid_field(
                "grpc-timeout",
                "must be up to 8 digits and a unit of H, M, S, m, u, n",
            ));
        }
        Ok(Self { deadline: timeout.map(|timeout| now + timeout), server_limit: now + CALL_TIMEOUT })
    }

    /// Of a call whose requests are a stream.
    #[must_use]
    pub fn for_upload(self) -> Self {
        Self { server_limit: self.server_limit - CALL_TIMEOUT + UPLOAD_TIMEOUT, ..self }
    }

    /// The answer, or the error of the limit that passed first.
    pub async fn bound<E>(
        &self,
        answer: impl Future<Output = Result<Response<Body>, E>>,
    ) -> Result<Result<Response<Body>, E>, ApiError> {
        let limit = self.deadline.map_or(self.server_limit, |deadline| deadline.min(self.server_limit));
        if self.has_passed() {
            return Err(ApiError::deadline_exceeded());
        }
        let result = timeout_at(limit, answer).await;
        result.map_err(|_| if self.has_passed() { ApiError::deadline_exceeded() } else { ApiError::timed_out() })
    }

    fn has_passed(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// A stream that also ends with its deadline and with its connection.
    pub fn end_stream(&self, stream: Body, connection_ends: &CancellationToken) -> Body {
        let deadline = self.deadline.map(|deadline| Box::pin(sleep_until(deadline + COURTESY)));
        let ends = Box::pin(connection_ends.clone().cancelled_owned());
        Body::new(Bounded { stream: Some(stream), deadline, ends })
    }
}

/// The body of a stream.
struct Bounded {
    /// None when it has ended.
    stream: Option<Body>,
    deadline: Option<Pin<Box<Sleep>>>,
    ends: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let frame = Pin::new(stream).poll_frame(cx);
        if frame.is_ready() {
            return frame;
        }
        let has_passed = self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        let end = if has_passed {
            ApiError::deadline_exceeded()
        } else if self.ends.as_mut().poll(cx).is_ready() {
            connection_too_old()
        } else {
            return Poll::Pending;
        };
        self.stream = None;
        Poll::Ready(Some(Ok(Frame::trailers(end.into_trailers()))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.is_end_stream())
    }
}

fn connection_too_old() -> ApiError {
    let message = "the connection of this stream has reached its age; resume it, on any server";
    ApiError::new(Code::Unavailable, reason::STREAM_AGE, message).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use http_body_util::BodyExt;

    use super::*;

    fn limit(timeout: Option<&str>) -> Result<TimeLimit, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(timeout) = timeout {
            headers.insert("grpc-timeout", timeout.parse().expect("a value"));
        }
        TimeLimit::of_call(&headers)
    }

    async fn code_of_silent_call(timeout: Option<&str>) -> (Code, Duration) {
        let (began, limit) = (Instant::now(), limit(timeout).expect("a timeout"));
        let result = limit.bound(pending::<Result<Response<Body>, Infallible>>()).await;
        (Status::from(result.expect_err("too late")).code(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_that_passes_first_ends_the_call() {
        let seconds = Duration::from_secs;
        assert_eq!(code_of_silent_call(None).await, (Code::Unavailable, seconds(20)));
        assert_eq!(code_of_silent_call(Some("3S")).await, (Code::DeadlineExceeded, seconds(3)));
        assert_eq!(code_of_silent_call(Some("1H")).await, (Code::Unavailable, seconds(20)));
        assert_eq!(code_of_silent_call(Some("0n")).await, (Code::DeadlineExceeded, seconds(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_requests_may_take_longer_but_not_beyond_its_deadline() {
        for (timeout, seconds) in [(None, 40 * 60), (Some("1M"), 60)] {
            let (began, limit) = (Instant::now(), limit(timeout).expect("a timeout").for_upload());
            limit.bound(pending::<Result<Response<Body>, Infallible>>()).await.expect_err("too late");
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_runs_nothing() {
        let limit = limit(Some("1n")).expect("a timeout");
        std::thread::sleep(Duration::from_micros(1));
        let answer = async { Ok::<_, Infallible>(Response::new(Body::empty())) };
        assert_eq!(Status::from(limit.bound(answer).await.expect_err("late")).code(), Code::DeadlineExceeded);
    }

    #[test]
    fn a_timeout_that_is_none_is_refused() {
        for text in ["", "5", "5s", "123456789S", "-1S"] {
            assert_eq!(Status::from(limit(Some(text)).expect_err(text)).code(), Code::InvalidArgument);
        }
    }

    async fn end_of(body: Body) -> Status {
        let trailers = body.collect().await.expect("trailers").trailers().cloned();
        Status::from_header_map(&trailers.expect("trailers")).expect("a status")
    }

    fn endless() -> Body {
        let frames = futures::stream::pending::<Result<Frame<Bytes>, Status>>();
        Body::new(http_body_util::StreamBody::new(frames))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_deadline_or_its_connection() {
        let (began, connection_ends) = (Instant::now(), CancellationToken::new());
        let with_deadline = limit(Some("30S")).expect("a timeout").end_stream(endless(), &connection_ends);
        assert_eq!(end_of(with_deadline).await.code(), Code::DeadlineExceeded);
        assert!((30..32).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());

        let without = limit(None).expect("no timeout").end_stream(endless(), &connection_ends);
        connection_ends.cancel();
        assert_eq!(end_of(without).await.code(), Code::Unavailable);
    }
}
