//! One call, with what it came to: both in the history.

use std::{future::Future, time::Duration};

use comanda_checker::history::{Answer, Op, What};
use rand::{RngExt, rngs::StdRng};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{Settings, clients::Clients, shown};

/// What a client is left with after a call.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) code: Code,
    pub(super) reason: Option<String>,
    /// Where the code is OK.
    pub(super) answer: Option<Answer>,
}

impl Attempt {
    fn of(result: Result<Answer, Status>) -> Self {
        match result {
            Ok(answer) => Self { code: Code::Ok, reason: None, answer: Some(answer) },
            Err(status) => Self { code: shown::code(&status), reason: shown::reason(&status), answer: None },
        }
    }

    /// A call that was not answered OK.
    pub(super) fn refused(code: Code) -> Self {
        Self { code, reason: None, answer: None }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.code == Code::Ok
    }

    /// Whether the code leaves open what became of the call.
    pub(super) fn is_unknown(&self) -> bool {
        use Code::{Cancelled, DeadlineExceeded, Internal, Unavailable, Unknown};
        matches!(self.code, Unavailable | DeadlineExceeded | Cancelled | Internal | Unknown)
    }

    /// Whether another try may end better. Without a request id only where nothing was done.
    pub(super) fn may_be_repeated(&self, has_request_id: bool) -> bool {
        self.is_unknown() && has_request_id || self.code == Code::ResourceExhausted
    }
}

/// How long a client waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Then it calls the call late.
    Deadline(Duration),
    /// Then it hangs up, in the midst of the call.
    HangUp(Duration),
}

impl Patience {
    /// Mostly some seconds; of some calls next to none.
    pub(super) fn draw(settings: &Settings, rng: &mut StdRng) -> Self {
        if rng.random_bool(settings.hang_ups) {
            Self::HangUp(Duration::from_micros(rng.random_range(0..=20_000)))
        } else {
            Self::wait(settings, rng)
        }
    }

    /// To the end.
    pub(super) fn wait(settings: &Settings, rng: &mut StdRng) -> Self {
        let (least_ms, most_ms) = settings.patience_ms;
        Self::Deadline(Duration::from_millis(rng.random_range(least_ms..=most_ms)))
    }

    fn of(self) -> (Duration, Code) {
        match self {
            Self::Deadline(time) => (time, Code::DeadlineExceeded),
            Self::HangUp(time) => (time, Code::Cancelled),
        }
    }
}

impl Clients {
    /// Makes a call and records it. `call` is not begun before the history has it.
    pub(super) async fn call(
        &self,
        client: &str,
        replica: &str,
        op: Op,
        patience: Patience,
        call: impl Future<Output = Result<Answer, Status>>,
    ) -> Attempt {
        let number = self.recorder.number();
        let (client, tenant, replica) = (client.to_owned(), self.tenant.name.clone(), replica.to_owned());
        self.recorder.record(What::Invoke { call: number, client, tenant, replica, op });
        let (time, code) = patience.of();
        let attempt = match timeout(time, call).await {
            Ok(result) => Attempt::of(result),
            Err(_) => Attempt::refused(code),
        };
        let Attempt { code, reason, answer } = attempt.clone();
        self.recorder.record(What::Return { call: number, code: shown::name(code).into(), reason, answer });
        attempt
    }
}

/// The tries of a call that may be repeated: a few, each after a little longer than the one before.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    const MOST: u32 = 5;
    const FIRST_WAIT_MS: u64 = 100;

    /// Waits until the next try; false if there have been enough.
    pub(super) async fn next(&mut self, rng: &mut StdRng) -> bool {
        let wait = self.wait(rng);
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
        wait.is_some()
    }

    fn wait(&mut self, rng: &mut StdRng) -> Option<Duration> {
        let most_ms = Self::FIRST_WAIT_MS << self.0;
        self.0 += 1;
        (self.0 <= Self::MOST).then(|| Duration::from_millis(rng.random_range(most_ms / 2..=most_ms)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn there_are_five_more_tries_each_after_a_longer_wait() {
        let (mut tries, mut rng) = (Tries::default(), StdRng::seed_from_u64(1));
        let waits: Vec<_> = std::iter::from_fn(|| tries.wait(&mut rng)).collect();
        assert_eq!(waits.len(), 5);
        assert!(waits.is_sorted() && waits[4] >= Duration::from_millis(800), "{waits:?}");
    }

    #[test]
    fn only_what_may_end_better_and_can_not_be_done_twice_is_repeated() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Internal] {
            assert!(Attempt::refused(code).may_be_repeated(true), "{code}");
            assert!(!Attempt::refused(code).may_be_repeated(false), "{code}");
        }
        assert!(Attempt::refused(Code::ResourceExhausted).may_be_repeated(false));
        for code in [Code::Ok, Code::InvalidArgument, Code::NotFound, Code::FailedPrecondition, Code::Aborted] {
            assert!(!Attempt::refused(code).may_be_repeated(true), "{code}");
        }
    }
}
