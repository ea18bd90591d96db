//! Errors of calls: a code, a reason that clients may match on, and what to do (<https://google.aip.dev/193>). Internal text goes to the
//! log, never to the client.

use std::{collections::HashMap, fmt::Display, time::Duration};

use comanda_proto::errors::{DOMAIN, reason};
use tonic::{Code, Status, codegen::http::HeaderMap, metadata::MetadataValue};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::text::has_visible;

/// How long a client should wait before it tries again, where nothing better is known.
pub const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The trailer that tells a client's retry policy how long to wait, in milliseconds
/// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md>).
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// The size of all violations of one error. They go into the trailers three times, encoded, of which gRPC for C++ and Java reads 8 KiB;
/// a client shows an error with more as a fault of the transport, and would try again.
const MOST_VIOLATION_BYTES: usize = 1300;
/// A path may hold a text of the caller (the key of a label).
const MOST_FIELD_CHARS: usize = 80;

/// A refused call.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(String, String)>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// An error with a reason of [`comanda_proto::errors::reason`] and a sentence for people.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, metadata: Vec::new(), violations: Vec::new(), retry_after: None }
    }

    /// INVALID_ARGUMENT naming the offending fields: the first dozen or so of many.
    pub fn invalid(mut violations: Vec<FieldViolation>) -> Self {
        let more = leave_out_too_many(&mut violations);
        let mut list: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
        list.extend((more > 0).then(|| format!("and {more} more")));
        let message = format!("invalid request: {}", list.join("; "));
        Self { violations, ..Self::new(Code::InvalidArgument, reason::INVALID_FIELDS, message) }
    }

    /// INVALID_ARGUMENT for one field.
    pub fn invalid_field(field: &str, description: impl Into<String>) -> Self {
        Self::invalid(vec![FieldViolation::new(field, description)])
    }

    /// NOT_FOUND for an order.
    pub fn order_not_found(order_id: impl ToString) -> Self {
        let order_id = order_id.to_string();
        Self::new(Code::NotFound, reason::ORDER_NOT_FOUND, format!("there is no order {order_id}"))
            .with("order_id", order_id)
    }

    /// RESOURCE_EXHAUSTED: a queue of ours is full; nothing was done.
    pub fn overloaded() -> Self {
        Self::new(
            Code::ResourceExhausted,
            reason::OVERLOADED,
            "too much at once: nothing was done; try again a little later",
        )
        .retry_after(RETRY_AFTER)
    }

    /// RESOURCE_EXHAUSTED: the caller's tenant takes as much as it may; nothing was done.
    pub fn tenant_limit() -> Self {
        let message = "this tenant has reached its limit on this server: nothing was done; try again a little later";
        Self::new(Code::ResourceExhausted, reason::TENANT_LIMIT, message).retry_after(RETRY_AFTER)
    }

    /// UNAVAILABLE: a dependency did not answer; whether the call was applied is unknown.
    pub fn unavailable() -> Self {
        let message = "a dependency of this call does not answer; try again with the same request_id";
        Self::new(Code::Unavailable, reason::DEPENDENCY_UNAVAILABLE, message).retry_after(RETRY_AFTER)
    }

    /// UNAVAILABLE: this server is stopping.
    pub fn shutting_down() -> Self {
        Self::new(Code::Unavailable, reason::SHUTTING_DOWN, "this server is stopping; try again, on another one")
            .retry_after(RETRY_AFTER)
    }

    /// INTERNAL: a fault of ours, described in the log.
    pub fn internal() -> Self {
        Self::new(Code::Internal, reason::INTERNAL, "an internal error; the log of the server has the details")
    }

    /// DEADLINE_EXCEEDED: the time that the client gave the call is over; whether the call was applied is unknown.
    pub fn deadline_exceeded() -> Self {
        let message = "the deadline of this call has passed; whether it was applied is unknown: repeat it with the same request_id";
        Self::new(Code::DeadlineExceeded, reason::DEADLINE_EXCEEDED, message)
    }

    /// UNAVAILABLE: the call took longer than this server lets any call take; whether it was applied is unknown.
    pub fn timed_out() -> Self {
        let message = "the server did not finish this call in time; try again with the same request_id";
        Self::new(Code::Unavailable, reason::SERVER_TIMEOUT, message).retry_after(RETRY_AFTER)
    }

    /// Adds a piece of metadata to the ErrorInfo.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.push((key.into(), value.to_string()));
        self
    }

    /// Adds a RetryInfo, and the same in the trailer grpc-retry-pushback-ms.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The trailers with which a stream ends.
    pub fn into_trailers(self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        // Fails only for a message that no header can hold; tonic percent-encodes it.
        let _ = Status::from(self).add_header(&mut trailers);
        trailers
    }
}

/// Keeps what fits into an answer, one violation at least; tells how many were left out.
fn leave_out_too_many(violations: &mut Vec<FieldViolation>) -> usize {
    let (all, mut bytes) = (violations.len(), 0);
    violations
        .iter_mut()
        .for_each(|violation| violation.field = violation.field.chars().take(MOST_FIELD_CHARS).collect());
    let fits = violations.iter().take_while(|violation| {
        bytes += violation.field.len() + violation.description.len();
        bytes <= MOST_VIOLATION_BYTES
    });
    let fits = fits.count().max(1);
    violations.truncate(fits);
    all - violations.len()
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let metadata: HashMap<_, _> = error.metadata.into_iter().collect();
        let mut details = ErrorDetails::with_error_info(error.reason, DOMAIN, metadata);
        if !error.violations.is_empty() {
            details.set_bad_request(error.violations);
        }
        if error.retry_after.is_some() {
            details.set_retry_info(error.retry_after);
        }
        let mut status = Self::with_error_details(error.code, error.message, details);
        if let Some(delay) = error.retry_after {
            status.metadata_mut().insert(PUSHBACK, MetadataValue::from(delay.as_millis() as u64));
        }
        status
    }
}

/// Collects the offending fields of a request, so that they are reported at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Notes that `field` (a path such as `items[3].quantity`) is wrong unless `holds`. Both texts are written out only then, so
    /// `format_args!` costs a valid request nothing.
    pub fn require(&mut self, holds: bool, field: impl Display, description: impl Display) {
        if !holds {
            self.0.push(FieldViolation::new(field.to_string(), description.to_string()));
        }
    }

    /// Checks a text: at least `least` and at most `most` characters, none of them a control character or a line separator.
    pub fn text(&mut self, field: impl Display, text: &str, least: usize, most: usize) {
        let holds = is_one_line(text) && (least..=most).contains(&text.chars().count());
        self.require(
            holds,
            field,
            format_args!("must have {least} to {most} characters, none of them a control character"),
        );
    }

    /// Checks a text that people read: as [`Self::text`], and where it is not empty at least one character can be seen.
    pub fn visible_text(&mut self, field: impl Display, text: &str, least: usize, most: usize) {
        let holds = is_one_line(text) && (least..=most).contains(&text.chars().count());
        let rule = format_args!(
            "must have {least} to {most} characters, at least one of them visible and none of them a control character"
        );
        self.require(holds && (text.is_empty() || has_visible(text)), field, rule);
    }

    /// Parses a UUID; the nil UUID stands in for one that is wrong.
    pub fn uuid(&mut self, field: impl Display, text: &str) -> uuid::Uuid {
        let parsed = uuid::Uuid::try_parse(text);
        self.require(parsed.is_ok(), field, "must be a UUID such as 018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60");
        parsed.unwrap_or_default()
    }

    /// Parses an optional UUID: empty means none.
    pub fn optional_uuid(&mut self, field: impl Display, text: &str) -> Option<uuid::Uuid> {
        (!text.is_empty()).then(|| self.uuid(field, text))
    }

    /// Parses the optional `request_id` of a call. Ids that several callers may send by mistake (all zeros, all ones) are refused: two
    /// different requests would be taken for one.
    pub fn request_id(&mut self, field: impl Display, text: &str) -> Option<uuid::Uuid> {
        if text.is_empty() {
            return None;
        }
        let parsed = uuid::Uuid::try_parse(text).ok().filter(|id| !id.is_nil() && !id.is_max());
        self.require(parsed.is_some(), field, "must be a UUID made for this request, not all zeros or all ones");
        parsed
    }

    /// Refuses if anything was noted.
    pub fn check(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.0)) }
    }
}

/// Whether a text has no control character (Unicode category Cc) and no line or paragraph separator.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_its_reason_every_violation_and_when_to_retry() {
        let mut violations = Violations::default();
        violations.text("name", "", 1, 5);
        violations.text("note", "a\nb", 0, 5);
        violations.uuid("order_id", "x");
        let status = Status::from(violations.check().expect_err("three violations").retry_after(RETRY_AFTER));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let fields: Vec<_> =
            details.bad_request().expect("bad request").field_violations.iter().map(|v| &v.field).collect();
        assert_eq!(fields, ["name", "note", "order_id"]);
        assert_eq!(details.error_info().expect("error info").reason, reason::INVALID_FIELDS);
        assert_eq!(details.retry_info().expect("retry info").retry_delay, Some(RETRY_AFTER));
        assert_eq!(status.metadata().get(PUSHBACK).map(|value| value.as_bytes()), Some(&b"500"[..]));
    }

    #[test]
    fn a_request_id_of_zeros_or_ones_is_refused() {
        for text in ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "nonsense"] {
            let mut violations = Violations::default();
            violations.request_id("request_id", text);
            assert_eq!(violations.0.len(), 1, "{text}");
        }
        assert_eq!(Violations::default().request_id("request_id", ""), None);
    }

    #[test]
    fn a_text_that_people_read_shows_something_and_is_one_line() {
        let is_accepted = |text: &str| {
            let mut violations = Violations::default();
            violations.visible_text("name", text, 0, 5);
            violations.check().is_ok()
        };
        assert!(["", "a", " ñ ", "\u{202e}אב"].into_iter().all(is_accepted));
        assert!(!["  ", "\u{200b}", "\u{a0}\u{feff}", "a\u{2028}b", "a\0", "abcdef"].into_iter().any(is_accepted));
    }

    #[test]
    fn of_very_many_violations_the_first_are_told_and_the_others_counted() {
        let mut violations = Violations::default();
        for index in 0..400 {
            violations.text(format!("items[{index}].name"), "", 1, 256);
        }
        let status = Status::from(violations.check().expect_err("400 violations"));
        let named = status.get_error_details().bad_request().expect("bad request").field_violations.len();
        assert!((10..20).contains(&named), "{named}");
        assert!(status.message().ends_with(&format!("and {} more", 400 - named)), "{}", status.message());
    }

    #[test]
    fn a_path_that_the_caller_wrote_is_cut() {
        let error = ApiError::invalid_field(&"ñ".repeat(100_000), "is wrong");
        assert_eq!(error.violations[0].field.chars().count(), MOST_FIELD_CHARS);
    }
}
