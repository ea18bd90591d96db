//! Waiting between tries.

use std::time::Duration;

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
}
