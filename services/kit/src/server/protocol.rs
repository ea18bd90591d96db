//! What is gRPC and what is not: requests that are refused before any service sees them, and errors of the transport that get an
//! ErrorInfo (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::time::Duration;

use comanda_proto::errors::reason;
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Method, Request, Response, StatusCode, header},
};

use crate::errors::ApiError;

const ENCODING: &str = "grpc-encoding";
const ACCEPTED: &str = "grpc-accept-encoding";
const DETAILS: &str = "grpc-status-details-bin";
const CONTENT_TYPE: &str = "application/grpc";

/// What is read of a request that is refused, and for how long.
const MOST_DRAINED_BYTES: usize = 64 * 1024;
const DRAIN: Duration = Duration::from_secs(1);

/// Reads a request that is refused. HTTP/2 resets a stream whose answer ends before its request does, and curl, for one, then reports an error
/// of the connection instead of the answer.
pub async fn drain(body: Body) {
    let _ = timeout(DRAIN, Limited::new(body, MOST_DRAINED_BYTES).collect()).await;
}

/// The answer to a request that no service can read.
pub fn refusal(request: &Request<Body>) -> Option<Response<Body>> {
    let headers = request.headers();
    if !is_grpc(headers) {
        return Some(plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this server speaks gRPC only: content-type application/grpc\n",
        ));
    }
    if request.method() != Method::POST {
        return Some(plain(StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST requests\n"));
    }
    (!is_readable(headers)).then(unsupported_encoding)
}

/// Whether the content type is gRPC's, with protobuf messages.
fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.strip_prefix(CONTENT_TYPE), Some("" | "+proto"))
}

fn is_readable(headers: &HeaderMap) -> bool {
    headers.get(ENCODING).is_none_or(|encoding| matches!(encoding.as_bytes(), b"identity" | b"gzip"))
}

fn unsupported_encoding() -> Response<Body> {
    let message = "the message is compressed in a way that this server cannot read; it takes gzip and identity";
    let error = ApiError::new(Code::Unimplemented, reason::UNSUPPORTED_ENCODING, message);
    let mut response: Response<Body> = Status::from(error).into_http();
    response.headers_mut().insert(ACCEPTED, header::HeaderValue::from_static("gzip,identity"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Gives an error of the transport, which has no details, those of an error of ours: of tonic's own errors clients know neither reason
/// nor cause. Every error of a service has details already.
pub fn explained(response: Response<Body>) -> Response<Body> {
    if response.headers().contains_key(DETAILS) {
        return response;
    }
    let status = Status::from_header_map(response.headers());
    match status.as_ref().and_then(explanation) {
        Some(error) => Status::from(error).into_http(),
        None => response,
    }
}

fn explanation(status: &Status) -> Option<ApiError> {
    match status.code() {
        // The first over the limit as it came, the second when decompressed.
        Code::OutOfRange | Code::ResourceExhausted => Some(ApiError::new(
            Code::OutOfRange,
            reason::MESSAGE_TOO_LARGE,
            "the request is larger than this call may be, as it is or decompressed",
        )),
        Code::Internal => {
            Some(ApiError::new(Code::Internal, reason::MALFORMED_MESSAGE, "the request is not a message of this call"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header value"));
        headers
    }

    #[test]
    fn only_grpcs_content_types_are_grpc() {
        let yes = ["application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc; charset=utf-8"];
        let no =
            ["application/json", "application/grpc-web", "application/grpc+json", "application/grpcs", "", "text/html"];
        for value in yes {
            assert!(is_grpc(&with("content-type", value)), "{value}");
        }
        for value in no {
            assert!(!is_grpc(&with("content-type", value)), "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn only_gzip_and_plain_messages_are_readable() {
        assert!(is_readable(&HeaderMap::new()));
        for (value, readable) in
            [("gzip", true), ("identity", true), ("snappy", false), ("deflate", false), ("GZIP", false)]
        {
            assert_eq!(is_readable(&with(ENCODING, value)), readable, "{value}");
        }
    }

    #[test]
    fn an_error_of_the_transport_gets_details_and_others_keep_theirs() {
        let explain =
            |status: Status| Status::from_header_map(explained(status.into_http()).headers()).expect("an error");
        let bomb = explain(Status::resource_exhausted("Error decompressing: size limit"));
        assert_eq!((bomb.code(), bomb.details().is_empty()), (Code::OutOfRange, false));
        let ours = explain(ApiError::overloaded().into());
        assert_eq!(ours.code(), Code::ResourceExhausted);
    }
}
