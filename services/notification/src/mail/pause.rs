//! Stops all senders while the mail server refuses us, so that one wrong setting does not kill a backlog.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use comanda_kit::backoff::{Backoff, sleep};
use metrics::gauge;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The longest pause, as a multiple of the first.
const GROWTH: u32 = 60;

/// The pause of a transport.
#[derive(Debug)]
pub struct Pause(Mutex<State>);

#[derive(Debug)]
struct State {
    until: Option<Instant>,
    backoff: Backoff,
}

impl Pause {
    /// No pause yet; the first one will be about `first`.
    pub fn new(first: Duration) -> Self {
        gauge!("comanda_mail_paused").set(0.0);
        Self(Mutex::new(State { until: None, backoff: Backoff::new(first, first * GROWTH) }))
    }

    /// Begins a pause, unless another sender has begun one: both count as one error. Returns how long it lasts from now.
    pub fn begin(&self) -> Duration {
        let (mut state, now) = (self.state(), Instant::now());
        let until = state.until.filter(|until| *until > now).unwrap_or_else(|| now + state.backoff.next_delay());
        state.until = Some(until);
        gauge!("comanda_mail_paused").set(1.0);
        until - now
    }

    /// The server has taken a mail: the next pause will be short again.
    pub fn end(&self) {
        let mut state = self.state();
        if state.until.take().is_some() {
            state.backoff.reset();
            gauge!("comanda_mail_paused").set(0.0);
        }
    }

    /// Whether there is a pause now.
    pub fn is_on(&self) -> bool {
        self.state().until.is_some_and(|until| until > Instant::now())
    }

    /// Waits until the pause is over; it may be prolonged meanwhile.
    pub async fn over(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let left = self.state().until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if !left.is_zero() => sleep(left, stop).await,
                _ => return,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pauses_grow_until_a_mail_was_taken_and_count_once_for_all_senders() {
        let (pause, stop) = (Pause::new(Duration::from_millis(100)), CancellationToken::new());
        let began = Instant::now();
        let first = pause.begin();
        assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100));
        assert!(pause.begin() <= first && pause.is_on());
        pause.over(&stop).await;
        assert!(!pause.is_on());
        assert!(began.elapsed() >= first);
        assert!(pause.begin() >= Duration::from_millis(99));
        pause.end();
        assert!(pause.begin() <= Duration::from_millis(100));
    }
}
