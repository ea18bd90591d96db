//! Ends a stream whose credentials have expired or were revoked. Its client may resume it with others.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::time::sleep;
use tonic::{
    Status,
    body::Body,
    codegen::http::{HeaderMap, HeaderValue, header},
};

use super::{authenticator::Authenticator, principal::Principal};
use crate::{errors::ApiError, shares::Share, tls::Peer};

/// How often the credentials of a stream are looked at again. With the interval of the keys' cache well below a minute.
const RECHECK: Duration = Duration::from_secs(20);

/// Ends when the caller's credentials are no longer valid.
pub type Ends = Pin<Box<dyn Future<Output = ApiError> + Send>>;

/// When `principal`, which showed these credentials or this certificate, is no longer admitted; `None` where that never happens.
pub fn ends(
    authenticator: &Arc<Authenticator>,
    principal: &Principal,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Option<Ends> {
    if principal.expires.is_none() && !principal.is_revocable {
        return None;
    }
    let credentials = headers.get(header::AUTHORIZATION).cloned();
    Some(Box::pin(watch(authenticator.clone(), principal.clone(), credentials, peer.cloned())))
}

async fn watch(
    authenticator: Arc<Authenticator>,
    mut principal: Principal,
    credentials: Option<HeaderValue>,
    peer: Option<Peer>,
) -> ApiError {
    let headers = credentials.into_iter().map(|credentials| (header::AUTHORIZATION, credentials)).collect();
    loop {
        sleep(until_recheck(&principal, SystemTime::now())).await;
        principal = match authenticator.authenticate(&headers, peer.as_ref()).await {
            Ok(principal) => principal,
            Err(refusal) => return refusal.into(),
        };
    }
}

fn until_recheck(principal: &Principal, now: SystemTime) -> Duration {
    let left = principal.expires.map(|expires| expires.duration_since(now).unwrap_or_default());
    let recheck = principal.is_revocable.then_some(RECHECK);
    // Timers count milliseconds, and may be early by less than one.
    left.into_iter().chain(recheck).min().unwrap_or(RECHECK) + Duration::from_millis(2)
}

/// The responses of a stream while its caller's credentials are valid. It holds the tenant's share.
pub struct Ending {
    /// `None` when it has ended.
    stream: Option<Body>,
    ends: Option<Ends>,
    _share: Option<Share>,
}

impl Ending {
    /// The same stream, with an end.
    pub fn of(stream: Body, ends: Option<Ends>, share: Option<Share>) -> Body {
        if ends.is_none() && share.is_none() {
            return stream;
        }
        Body::new(Self { stream: Some(stream), ends, _share: share })
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // First: after the end nothing more is shown, however much there is.
        if self.stream.is_some()
            && let Some(ends) = &mut self.ends
            && let Poll::Ready(error) = ends.as_mut().poll(cx)
        {
            self.stream = None;
            return Poll::Ready(Some(Ok(Frame::trailers(error.into_trailers()))));
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        Pin::new(stream).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http_body_util::{BodyExt, StreamBody};
    use tonic::Code;

    use super::*;
    use crate::{
        access::{
            refusal::{Refusal, Why},
            scope::Scope,
        },
        shares::Shares,
    };

    fn principal(expires: Option<u64>, is_revocable: bool) -> Principal {
        let expires = expires.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        Principal { scope: Scope::built_in(), expires, is_revocable }
    }

    #[test]
    fn credentials_are_looked_at_when_they_expire_and_now_and_then_before() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        for (principal, seconds) in [
            (principal(Some(105), true), 5),
            (principal(Some(1000), true), 20),
            (principal(Some(1000), false), 900),
            (principal(None, true), 20),
            (principal(Some(7), true), 0),
        ] {
            assert_eq!(until_recheck(&principal, now).as_secs(), seconds, "{principal:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_shows_nothing_more_and_says_why() {
        let frames = futures::stream::repeat_with(|| Ok::<_, Status>(Frame::data(Bytes::from_static(b"secret"))));
        let ends: Ends = Box::pin(std::future::ready(Refusal::of(Why::Expired).into()));
        let shares = Shares::new(1);
        let mut body = Ending::of(Body::new(StreamBody::new(frames)), Some(ends), shares.take("acme", 1));
        let end = body.frame().await.expect("an end").expect("trailers").into_trailers().expect("trailers");
        assert_eq!(Status::from_header_map(&end).expect("a status").code(), Code::Unauthenticated);
        assert!(body.frame().await.is_none());
        drop(body);
        assert!(shares.take("acme", 1).is_some(), "the share is given back");
    }
}
