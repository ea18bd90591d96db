//! Errors as HTTP tells them: `application/problem+json` (RFC 9457) with what gRPC tells of them.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use comanda_client::{Code, Error, Outcome, Violation};
use comanda_proto::errors::reason;
use serde::Serialize;
use serde_json::Value;
use tonic::Status;

use crate::{json, schema::Schema};

/// The reasons of errors that only the gateway has.
pub mod only_here {
    #![allow(missing_docs)]
    pub const NO_SUCH_ROUTE: &str = "NO_SUCH_ROUTE";
    pub const METHOD_NOT_ALLOWED: &str = "METHOD_NOT_ALLOWED";
    pub const UNSUPPORTED_MEDIA_TYPE: &str = "UNSUPPORTED_MEDIA_TYPE";
    pub const FOREIGN_ORIGIN: &str = "FOREIGN_ORIGIN";
    pub const FOREIGN_HOST: &str = "FOREIGN_HOST";
    pub const REQUEST_TIMEOUT: &str = "REQUEST_TIMEOUT";
}

/// An error, not yet written.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The status of HTTP.
    pub status: StatusCode,
    error: Box<Error>,
    details: Vec<Value>,
}

/// As it is written.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: String,
    reason: &'a str,
    metadata: &'a BTreeMap<String, String>,
    violations: Vec<Field<'a>>,
    outcome: &'static str,
    details: &'a [Value],
}

#[derive(Serialize)]
struct Field<'a> {
    field: &'a str,
    description: &'a str,
}

impl Problem {
    /// An error of the gateway's own. Nothing was applied.
    pub fn new(status: StatusCode, code: Code, reason: &str, detail: impl Into<String>) -> Self {
        let error = Error { reason: Some(reason.into()), ..Error::from(Status::new(code, detail)) };
        let error = Error { outcome: Outcome::NotApplied, ..error };
        Self { status, error: Box::new(error), details: Vec::new() }
    }

    /// 400 naming the offending fields.
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let list: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
        let detail = format!("invalid request: {}", list.join("; "));
        let mut problem = Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, reason::INVALID_FIELDS, detail);
        problem.error.violations = violations;
        problem
    }

    /// 400 for one field, parameter or header.
    pub fn invalid_field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// 404: nothing is served at a path.
    pub fn no_such_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, only_here::NO_SUCH_ROUTE, "there is nothing at this path")
    }

    /// 413.
    pub fn too_large(most_bytes: usize) -> Self {
        let detail = format!("the body of this request may have at most {most_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange, reason::MESSAGE_TOO_LARGE, detail)
    }

    /// 415.
    pub fn unsupported_media_type(detail: &str) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, Code::InvalidArgument, only_here::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 429: a bound of the gateway is reached.
    pub fn overloaded() -> Self {
        let detail = "too much at once: nothing was done; try again a little later";
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, Code::ResourceExhausted, reason::OVERLOADED, detail).after(Duration::from_secs(1))
    }

    /// 503: this gateway is stopping.
    pub fn shutting_down() -> Self {
        let detail = "this server is stopping; try again, on another one";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, Code::Unavailable, reason::SHUTTING_DOWN, detail).after(Duration::from_secs(1))
    }

    /// The error of a call. `conditional` says that the request had an If-Match.
    pub fn of_call(status: &Status, conditional: bool, schema: &Schema) -> Self {
        let error = Error::from(status.clone());
        let http = http_status(&error, conditional);
        let details = json::details(status.details(), schema);
        Self { status: http, error: Box::new(error), details }
    }

    fn after(mut self, wait: Duration) -> Self {
        self.error.retry_after = Some(wait);
        self
    }

    /// How long to wait before the request is repeated, where that can help.
    pub fn retry_after(&self) -> Option<Duration> {
        let asks = matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        self.error.retry_after.or(asks.then_some(Duration::from_secs(1)))
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED
            || matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            || self.error.is(reason::SLOW_READER)
            || self.error.is(reason::CONTENTION)
    }

    /// Whether it has this reason.
    pub fn is(&self, reason: &str) -> bool {
        self.error.is(reason)
    }

    /// The sentence for people.
    pub fn detail(&self) -> &str {
        &self.error.message
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let violation = |v: &'_ Violation| (v.field.clone(), v.description.clone());
        let violations: Vec<_> = self.error.violations.iter().map(violation).collect();
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.error.message,
            code: Error { reason: None, ..(*self.error).clone() }.label(),
            reason: self.error.reason.as_deref().unwrap_or_default(),
            metadata: &self.error.metadata,
            violations: violations.iter().map(|(field, description)| Field { field, description }).collect(),
            outcome: match self.error.outcome {
                Outcome::NotApplied => "not_applied",
                Outcome::Unknown => "unknown",
            },
            details: &self.details,
        };
        serde_json::to_string(&document).expect("strings and numbers are always JSON")
    }

    /// As a response.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.status;
        let wait = self.retry_after();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        response
    }
}

/// As Retry-After has it: whole seconds, rounded up, at least one.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The status of HTTP for an error of gRPC.
fn http_status(error: &Error, conditional: bool) -> StatusCode {
    match error.code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument if error.is(reason::IDEMPOTENCY_MISMATCH) => StatusCode::UNPROCESSABLE_ENTITY,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Aborted if error.is(reason::VERSION_MISMATCH) && conditional => StatusCode::PRECONDITION_FAILED,
        Code::Aborted | Code::FailedPrecondition | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::OutOfRange if error.is(reason::TOKEN_EXPIRED) => StatusCode::GONE,
        Code::OutOfRange if error.is(reason::MESSAGE_TOO_LARGE) => StatusCode::PAYLOAD_TOO_LARGE,
        Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded | Code::Cancelled => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Internal | Code::Unknown | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use comanda_kit::errors::{ApiError, RETRY_AFTER};

    use super::*;

    fn of(error: ApiError, conditional: bool) -> Problem {
        Problem::of_call(&error.into(), conditional, &Schema::new())
    }

    #[test]
    fn each_code_has_its_status() {
        for (code, why, status) in [
            (Code::InvalidArgument, reason::INVALID_FIELDS, 400),
            (Code::InvalidArgument, reason::FILTER_MISMATCH, 400),
            (Code::InvalidArgument, reason::IDEMPOTENCY_MISMATCH, 422),
            (Code::NotFound, reason::ORDER_NOT_FOUND, 404),
            (Code::PermissionDenied, reason::PERMISSION_DENIED, 403),
            (Code::Unauthenticated, "UNAUTHENTICATED", 401),
            (Code::Aborted, reason::VERSION_MISMATCH, 409),
            (Code::Aborted, reason::CONTENTION, 409),
            (Code::FailedPrecondition, reason::ORDER_ENDED, 409),
            (Code::OutOfRange, reason::TOKEN_EXPIRED, 410),
            (Code::OutOfRange, reason::MESSAGE_TOO_LARGE, 413),
            (Code::ResourceExhausted, reason::OVERLOADED, 429),
            (Code::Unavailable, reason::DEPENDENCY_UNAVAILABLE, 503),
            (Code::DeadlineExceeded, reason::DEADLINE_EXCEEDED, 504),
            (Code::Cancelled, "CANCELLED", 504),
            (Code::Internal, reason::INTERNAL, 500),
            (Code::Unimplemented, reason::UNKNOWN_RPC, 501),
        ] {
            assert_eq!(of(ApiError::new(code, why, "text"), false).status.as_u16(), status, "{code:?} {why}");
        }
        let stale = ApiError::new(Code::Aborted, reason::VERSION_MISMATCH, "text");
        assert_eq!(of(stale, true).status, StatusCode::PRECONDITION_FAILED);
    }

    #[test]
    fn everything_that_grpc_tells_is_in_the_document() {
        let error = ApiError::invalid_field("items[0].quantity", "must be 1 to 10,000").with("version", 3);
        let document: Value = serde_json::from_str(&of(error, false).to_json()).expect("JSON");
        assert_eq!(document["status"], 400);
        assert_eq!(document["title"], "Bad Request");
        assert_eq!(document["code"], "INVALID_ARGUMENT");
        assert_eq!(document["reason"], "INVALID_FIELDS");
        assert_eq!(document["metadata"]["version"], "3");
        assert_eq!(document["outcome"], "not_applied");
        assert_eq!(document["violations"][0]["field"], "items[0].quantity");
        let kinds: Vec<_> = document["details"].as_array().expect("details").iter().map(|d| &d["@type"]).collect();
        assert!(kinds.contains(&&Value::from("type.googleapis.com/google.rpc.ErrorInfo")), "{kinds:?}");
        assert!(kinds.contains(&&Value::from("type.googleapis.com/google.rpc.BadRequest")), "{kinds:?}");
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        for (wait, header) in [(RETRY_AFTER, "1"), (Duration::from_millis(2001), "3"), (Duration::from_secs(2), "2")] {
            let response = of(ApiError::overloaded().retry_after(wait), false).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], header);
        }
        let plain = of(ApiError::order_not_found("x"), false).into_response();
        assert!(!plain.headers().contains_key(header::RETRY_AFTER));
        let unavailable = of(ApiError::new(Code::Unavailable, reason::SHUTTING_DOWN, "text"), false).into_response();
        assert_eq!(unavailable.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn what_may_succeed_later_is_known() {
        let is_transient = |code, why| of(ApiError::new(code, why, "text"), false).is_transient();
        assert!(is_transient(Code::Unavailable, reason::STREAM_AGE));
        assert!(is_transient(Code::Aborted, reason::SLOW_READER));
        assert!(is_transient(Code::ResourceExhausted, reason::OVERLOADED));
        assert!(!is_transient(Code::NotFound, reason::ORDER_NOT_FOUND));
        assert!(!is_transient(Code::FailedPrecondition, reason::SNAPSHOT_TOO_LARGE));
        assert!(!is_transient(Code::Unimplemented, reason::UNKNOWN_RPC));
    }
}
