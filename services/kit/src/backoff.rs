//! Waiting between tries.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Exponential growth with full jitter, so that many waiters do not come back at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits of about `first`, doubling up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, first, most }
    }

    /// How long to wait this time: between half and the whole of the current step.
    pub fn next_delay(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.most);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Back to the first step, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits, or returns at once when `stop` is cancelled.
    pub async fn wait(&mut self, stop: &CancellationToken) {
        let delay = self.next_delay();
        sleep(delay, stop).await;
    }
}

/// Sleeps, or returns at once when `stop` is cancelled.
pub async fn sleep(delay: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = stop.cancelled() => {}
    }
}

/// How much a round of work does when there is plenty to do.
const BUSY: usize = 32;
/// How long such a round lasts at least.
const BUSY_ROUND: Duration = Duration::from_millis(20);

/// Lets work pile up after a round that began at `started` and did `done` pieces: a round has its price, whatever it holds, so under load
/// few big ones do more than many small ones. At low load nothing waits.
pub async fn breathe(started: Instant, done: usize, stop: &CancellationToken) {
    if done >= BUSY {
        sleep(BUSY_ROUND.saturating_sub(started.elapsed()), stop).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for step_ms in [100, 200, 350, 350] {
            let delay = backoff.next_delay();
            assert!(delay >= Duration::from_millis(step_ms / 2) && delay <= Duration::from_millis(step_ms));
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_busy_round_is_followed_by_a_rest() {
        let (started, stop) = (Instant::now(), CancellationToken::new());
        breathe(started, BUSY - 1, &stop).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        breathe(started, BUSY, &stop).await;
        assert!(started.elapsed() >= BUSY_ROUND);
        let rested = Instant::now();
        breathe(started, BUSY, &stop).await;
        assert_eq!(rested.elapsed(), Duration::ZERO, "a round that took its time needs no rest");
    }
}
