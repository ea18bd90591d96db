//! What a gRPC error says to a person, and which exit code it is.

use std::{collections::BTreeMap, error::Error, time::Duration};

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

use crate::failure::{Exit, Failure};

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::new(exit(status.code()), lines(&status).join("\n  "))
    }
}

/// The exit code of an error. The API divides its codes into "not applied" and "unknown"; codes it does not use count as unknown
/// unless they can only mean an error.
pub fn exit(code: Code) -> Exit {
    match code {
        Code::NotFound => Exit::NotFound,
        Code::InvalidArgument | Code::FailedPrecondition | Code::Aborted | Code::OutOfRange => Exit::Refused,
        Code::ResourceExhausted | Code::Unimplemented => Exit::Refused,
        Code::PermissionDenied | Code::Unauthenticated | Code::AlreadyExists => Exit::Refused,
        _ => Exit::Unknown,
    }
}

/// Headline first, then each violation, each metadata of the reason, and when to try again.
pub fn lines(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let mut lines = vec![headline(status, &details)];
    lines.extend(violations(&details));
    lines.extend(metadata(&details));
    lines.extend(retry_delay(status).map(|delay| format!("try again in {} s", delay.as_secs_f64())));
    lines
}

fn headline(status: &Status, details: &ErrorDetails) -> String {
    let reason = details.error_info().map(|info| format!(", {}", info.reason)).unwrap_or_default();
    format!("{} ({}{reason})", message(status), code_name(status.code()))
}

/// A broken connection only says "transport error"; why is in its sources.
fn message(status: &Status) -> String {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    match status.source() {
        Some(source) => format!("{message}: {}", root_cause(source)),
        None => message.to_owned(),
    }
}

fn violations(details: &ErrorDetails) -> Vec<String> {
    let Some(bad_request) = details.bad_request() else { return Vec::new() };
    bad_request.field_violations.iter().map(|field| format!("{}: {}", field.field, field.description)).collect()
}

fn metadata(details: &ErrorDetails) -> Vec<String> {
    let Some(info) = details.error_info() else { return Vec::new() };
    let sorted: BTreeMap<_, _> = info.metadata.iter().collect();
    sorted.into_iter().map(|(key, value)| format!("{key}: {value}")).collect()
}

/// How long the server asks to wait before the call is repeated.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// The reason in its ErrorInfo. Every error of our servers has one; without it, the transport or a proxy speaks.
pub fn reason(status: &Status) -> Option<String> {
    Some(status.get_details_error_info()?.reason)
}

/// One entry of the metadata in its ErrorInfo.
pub fn metadata_of(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info()?.metadata.remove(key)
}

/// The error of one row in a batch as the error of a call.
pub fn from_row(error: &pb::Status) -> Status {
    Status::with_details(Code::from(error.code), error.message.clone(), error.encode_to_vec().into())
}

/// The innermost source, which alone says what happened ("Connection refused").
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
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

    use super::*;

    fn error() -> Status {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("items[0].quantity", "must be 1 to 10,000");
        details.add_bad_request_violation("customer.email", "has no @");
        details.set_error_info(INVALID_FIELDS, DOMAIN, [("version".to_owned(), "3".to_owned())]);
        details.set_retry_info(Some(Duration::from_millis(1500)));
        Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details)
    }

    #[test]
    fn every_violation_has_a_line_of_its_own() {
        let failure = Failure::from(error());
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(
            failure.message,
            "2 fields are wrong (INVALID_ARGUMENT, INVALID_FIELDS)\n  items[0].quantity: must be 1 to 10,000\n  \
             customer.email: has no @\n  version: 3\n  try again in 1.5 s"
        );
    }

    #[test]
    fn an_error_without_details_is_one_line() {
        assert_eq!(lines(&Status::unavailable("")), ["The service is currently unavailable (UNAVAILABLE)"]);
    }

    #[test]
    fn exit_codes_tell_refused_from_unknown() {
        assert_eq!(exit(Code::NotFound), Exit::NotFound);
        assert_eq!(exit(Code::ResourceExhausted), Exit::Refused);
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Internal, Code::Unknown] {
            assert_eq!(exit(code), Exit::Unknown);
        }
    }

    #[test]
    fn the_error_of_a_row_keeps_its_details() {
        let whole = error();
        let row = pb::Status::decode(whole.details()).expect("a google.rpc.Status");
        assert_eq!(lines(&from_row(&row)), lines(&whole));
    }
}
