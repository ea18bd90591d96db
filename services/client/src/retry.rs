//! When a failed call is repeated, when a broken stream is resumed, and how long to wait before it.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use comanda_proto::errors::reason::{CONTENTION, MESSAGE_TOO_LARGE};
use tonic::Code;

use crate::error::Error;

/// The wait that a server asks for is granted up to here.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// Waits that double from one try to the next, with jitter, so that clients do not return all at once.
#[derive(Debug)]
pub(crate) struct Waits {
    builder: ExponentialBuilder,
    next: ExponentialBackoff,
}

impl Waits {
    /// About `first`, doubling up to `longest`; the jitter adds up to as much again.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let builder =
            ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).with_jitter().without_max_times();
        Self { builder, next: builder.build() }
    }

    /// The next wait, which is no shorter than the server asks for.
    pub fn after(&mut self, error: &Error) -> Duration {
        self.asked(error.retry_after)
    }

    /// The next wait, no shorter than `asked`.
    pub fn asked(&mut self, asked: Option<Duration>) -> Duration {
        self.next.next().unwrap_or_default().max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// Back to the first wait, after a success.
    pub fn reset(&mut self) {
        self.next = self.builder.build();
    }
}

/// Whether the same call, with the same request id, may succeed later.
pub(crate) fn may_repeat(error: &Error) -> bool {
    match error.code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Internal | Code::Unknown => true,
        Code::ResourceExhausted => !error.is(MESSAGE_TOO_LARGE),
        Code::Aborted => error.is(CONTENTION),
        _ => false,
    }
}

/// Whether a stream that ended with this error may be opened again where it was. A proxy can end a stream with any code that does not
/// speak of the request, so only the codes that do are final.
pub(crate) fn may_resume(error: &Error) -> bool {
    !matches!(
        error.code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code) -> Error {
        Error::new(code, "")
    }

    #[test]
    fn a_lost_race_may_be_run_again_but_not_an_outdated_expectation() {
        let with = |reason: &str| Error { reason: Some(reason.into()), ..error(Code::Aborted) };
        assert!(may_repeat(&with(CONTENTION)));
        assert!(!may_repeat(&with("VERSION_MISMATCH")));
        assert!(may_resume(&with("SLOW_READER")));
    }

    #[test]
    fn an_error_about_the_request_is_final() {
        for code in [Code::InvalidArgument, Code::NotFound, Code::FailedPrecondition, Code::Unimplemented] {
            assert!(!may_repeat(&error(code)) && !may_resume(&error(code)), "{code:?}");
        }
    }

    #[test]
    fn waits_grow_to_the_longest_and_start_over_after_a_success() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut waits = Waits::new(first, longest);
        let some: Vec<_> = (0..50).map(|_| waits.asked(None)).collect();
        assert!(some[0] >= first && some[0] <= 2 * first, "{some:?}");
        assert!(some.iter().all(|wait| *wait <= 2 * longest), "{some:?}");
        assert!(some[40..].iter().all(|wait| *wait >= longest), "{some:?}");
        waits.reset();
        assert!(waits.asked(None) <= 2 * first);
    }

    #[test]
    fn what_the_server_asks_for_is_granted_within_reason() {
        let mut waits = Waits::new(Duration::from_millis(1), Duration::from_millis(1));
        assert_eq!(waits.asked(Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert_eq!(waits.asked(Some(Duration::from_secs(3600))), LONGEST_ASKED);
    }
}
