//! What an error of a call says to a person, and which exit code it is.

use comanda_client::{Code, Error, Outcome};

use super::advice::advice;
use crate::{
    failure::{Exit, Failure},
    terminal::escape,
};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut lines = lines(&error);
        lines.extend(advice(&error).map(str::to_owned));
        Self::new(exit(&error), lines.join("\n  "))
    }
}

fn exit(error: &Error) -> Exit {
    match error.outcome {
        _ if error.code == Code::NotFound => Exit::NotFound,
        Outcome::NotApplied if !error.is_unreachable() => Exit::Refused,
        Outcome::NotApplied | Outcome::Unknown => Exit::Unknown,
    }
}

/// Headline first, then each violation, each metadata of the reason, and when to try again. Safe for a terminal: only the server knows
/// who wrote these texts.
pub fn lines(error: &Error) -> Vec<String> {
    let mut lines = vec![error.to_string()];
    lines.extend(error.violations.iter().map(|violation| format!("{}: {}", violation.field, violation.description)));
    lines.extend(error.metadata.iter().map(|(key, value)| format!("{key}: {value}")));
    lines.extend(error.retry_after.map(|delay| format!("try again in {} s", delay.as_secs_f64())));
    lines.iter().map(|line| escape(line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use comanda_proto::errors::{DOMAIN, reason::INVALID_FIELDS};
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn error() -> Status {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("items[0].quantity", "must be 1 to 10,000");
        details.add_bad_request_violation("labels[\"\u{202e}\x1b[2J\"]", "is\ntoo long");
        details.set_error_info(INVALID_FIELDS, DOMAIN, [("version".to_owned(), "3".to_owned())]);
        details.set_retry_info(Some(Duration::from_millis(1500)));
        Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details)
    }

    #[test]
    fn every_violation_has_a_line_of_its_own_that_a_terminal_may_see() {
        let failure = Failure::from(Error::from(error()));
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(
            failure.message,
            "2 fields are wrong (INVALID_ARGUMENT, INVALID_FIELDS)\n  items[0].quantity: must be 1 to 10,000\n  \
             labels[\"\\u{202e}\\u{1b}[2J\"]: is\\ntoo long\n  version: 3\n  try again in 1.5 s"
        );
    }

    #[test]
    fn exit_codes_tell_refused_from_unknown() {
        let exit = |code| Failure::from(Error::from(Status::new(code, ""))).exit;
        assert_eq!(exit(Code::NotFound), Exit::NotFound);
        assert_eq!(exit(Code::ResourceExhausted), Exit::Refused);
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Internal, Code::Unknown] {
            assert_eq!(exit(code), Exit::Unknown);
        }
    }
}
