//! What a failed call tells: what went wrong, and whether it was applied.

use std::{collections::BTreeMap, error, time::Duration};

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{StatusExt, pb};

/// A call that failed. Servers of Comanda describe their errors with the details of `google.rpc` (<https://google.aip.dev/193>); an
/// error without a reason comes from the connection or from a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({})", self.label())]
pub struct Error {
    /// The code of gRPC.
    pub code: Code,
    /// One of [`comanda_proto::errors::reason`].
    pub reason: Option<String>,
    /// A sentence for people. May hold text that others wrote: escape it before it reaches a terminal.
    pub message: String,
    /// What belongs to the reason, such as the last version that a stream sent.
    pub metadata: BTreeMap<String, String>,
    /// Each field that is wrong.
    pub violations: Vec<Violation>,
    /// How long the server asks to wait before the call is repeated.
    pub retry_after: Option<Duration>,
    /// Whether the call was applied.
    pub outcome: Outcome,
}

/// Whether a failed call was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was applied.
    NotApplied,
    /// It may have been applied: repeat it with the same request id.
    Unknown,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `items[3].quantity`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Error {
    /// An error of this client, without details.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Status::new(code, message).into()
    }

    /// No connection could be made, so nothing was sent.
    pub(crate) fn unreachable(message: String) -> Self {
        Self { outcome: Outcome::NotApplied, ..Self::new(Code::Unavailable, message) }
    }

    /// Whether no server was reached.
    pub fn is_unreachable(&self) -> bool {
        self.code == Code::Unavailable && self.outcome == Outcome::NotApplied
    }

    /// Whether it carries this reason of [`comanda_proto::errors::reason`].
    pub fn is(&self, reason: &str) -> bool {
        self.reason.as_deref() == Some(reason)
    }

    /// The code as the API writes it, and the reason if there is one: `NOT_FOUND, ORDER_NOT_FOUND`.
    pub fn label(&self) -> String {
        let code = code_name(self.code);
        self.reason.as_ref().map_or_else(|| code.clone(), |reason| format!("{code}, {reason}"))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let violation =
            |v: &tonic_types::FieldViolation| Violation { field: v.field.clone(), description: v.description.clone() };
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()),
            message: message(&status),
            metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
            violations: details
                .bad_request()
                .map_or_else(Vec::new, |b| b.field_violations.iter().map(violation).collect()),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            outcome: outcome(status.code()),
        }
    }
}

/// The error of one row of a batch.
impl From<pb::Status> for Error {
    fn from(error: pb::Status) -> Self {
        let details = error.encode_to_vec().into();
        Status::with_details(Code::from(error.code), error.message, details).into()
    }
}

/// The API divides its codes into these two. Codes that it does not use count as unknown unless they can only mean a refusal.
fn outcome(code: Code) -> Outcome {
    match code {
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::Aborted | Code::OutOfRange => {
            Outcome::NotApplied
        }
        Code::ResourceExhausted | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => {
            Outcome::NotApplied
        }
        Code::AlreadyExists => Outcome::NotApplied,
        _ => Outcome::Unknown,
    }
}

/// A broken connection only says "transport error"; the cause is in its sources.
fn message(status: &Status) -> String {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    match error::Error::source(status) {
        Some(source) => format!("{message}: {}", root_cause(source)),
        None => message.to_owned(),
    }
}

/// The innermost source, which alone says what happened ("Connection refused").
pub(crate) fn root_cause(error: &(dyn error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// `NotFound` as the API writes it: `NOT_FOUND`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use comanda_proto::errors::{DOMAIN, reason::INVALID_FIELDS};
    use tonic_types::ErrorDetails;

    use super::*;

    fn status() -> Status {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("items[0].quantity", "must be 1 to 10,000");
        details.set_error_info(INVALID_FIELDS, DOMAIN, [("version".to_owned(), "3".to_owned())]);
        details.set_retry_info(Some(Duration::from_millis(1500)));
        Status::with_error_details(Code::InvalidArgument, "a field is wrong", details)
    }

    #[test]
    fn every_detail_is_kept() {
        let error = Error::from(status());
        assert_eq!(error.to_string(), "a field is wrong (INVALID_ARGUMENT, INVALID_FIELDS)");
        assert!(error.is(INVALID_FIELDS));
        assert_eq!(error.violations[0].field, "items[0].quantity");
        assert_eq!(error.metadata["version"], "3");
        assert_eq!(error.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(error.outcome, Outcome::NotApplied);
    }

    #[test]
    fn the_error_of_a_row_keeps_its_details() {
        let row = pb::Status::decode(status().details()).expect("a google.rpc.Status");
        assert_eq!(Error::from(row), Error::from(status()));
    }

    #[test]
    fn codes_of_the_connection_leave_the_outcome_unknown() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Internal, Code::Unknown] {
            assert_eq!(outcome(code), Outcome::Unknown);
        }
        assert_eq!(outcome(Code::ResourceExhausted), Outcome::NotApplied);
    }

    #[test]
    fn an_error_without_details_has_the_description_of_its_code() {
        let error = Error::from(Status::unavailable(""));
        assert_eq!(error.to_string(), "The service is currently unavailable (UNAVAILABLE)");
    }
}
