//! Gives calls their spans. In: calls that access control has let in. Out: the same calls, some with a [`Traceparent`](crate::traces::Traceparent) among
//! their extensions: that of a span, which ends when the answer does.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::Either;
use http_body::{Frame, SizeHint};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Request, Response},
};
use tower::Service;

use crate::traces::call::{self, CallSpan};

/// A service whose calls may have spans. For those without one it does nothing.
#[derive(Clone, Debug)]
pub struct Traced<S>(pub S);

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(span) = call::begin(&request) else { return Either::Left(self.0.call(request)) };
        request.extensions_mut().insert(span.traceparent());
        let answer = self.0.call(request);
        Either::Right(Box::pin(async move { Ok(until_the_end(answer.await?, span)) }))
    }
}

/// The status of an answer is in its headers, where it is an error without a body, or behind its body.
fn until_the_end(answer: Response<Body>, mut span: CallSpan) -> Response<Body> {
    match code_of(answer.headers()) {
        Some(code) => span.answered(code),
        None => return answer.map(|body| Body::new(TracedBody { body, span: Some(span) })),
    }
    answer
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    Some(Status::from_header_map(headers)?.code())
}

/// A body with which a span ends.
struct TracedBody {
    body: Body,
    span: Option<CallSpan>,
}

impl http_body::Body for TracedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let code = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(code_of),
            Some(Err(status)) => Some(status.code()),
            None => None,
        };
        if let Some(code) = code
            && let Some(mut span) = self.span.take()
        {
            span.answered(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{access::Scope, traces::Traceparent};

    #[tokio::test]
    async fn where_nothing_is_traced_a_call_passes_as_it_is() {
        let service = Traced(service_fn(async |request: Request<Body>| {
            assert!(request.extensions().get::<Traceparent>().is_none());
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let mut request = Request::new(Body::empty());
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        request.headers_mut().insert("traceparent", traceparent.parse().expect("a value"));
        request.extensions_mut().insert(Scope::built_in());
        assert!(service.oneshot(request).await.is_ok());
    }

    #[test]
    fn the_code_is_found_in_headers_and_trailers() {
        let answer: Response<Body> = Status::not_found("no such order").into_http();
        assert_eq!(code_of(answer.headers()), Some(Code::NotFound));
        assert_eq!(code_of(&HeaderMap::new()), None);
    }
}
