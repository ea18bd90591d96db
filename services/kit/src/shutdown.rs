//! Stopping: one token that says so, one tracker that knows who has not stopped yet.

use std::{future::Future, time::Duration};

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

/// From the first signal to the end of the process, whatever hangs.
pub const HARD_STOP: Duration = Duration::from_secs(10);

/// The tasks of a process. Every spawned task is tracked here and ends on the token.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    stop: CancellationToken,
    failed: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when everything is to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task that must last until the token is cancelled: one that fails, or panics, stops the whole process with a failure.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = Result<()>> + Send + 'static) {
        let handle = self.tracker.spawn(task);
        let (stop, failed) = (self.stop.clone(), self.failed.clone());
        self.tracker.spawn(async move {
            match handle.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error!(task = name, "task failed: {error:#}"),
                Err(panic) => error!(task = name, "task panicked: {panic}"),
            }
            failed.cancel();
            stop.cancel();
        });
    }

    /// Runs a short piece of work to its end even if its caller has gone away, and returns its result.
    ///
    /// A client that hangs up drops the handler's future; a database write that is dropped half way poisons its connection for
    /// the next borrower (sqlx 0.9.0, transact-rs/sqlx#4393). So writes run here.
    pub async fn finish<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.tracker.spawn(work).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Runs a piece of work that nothing waits for, such as one stream of many. A panic ends only this work. It must end on the token.
    pub fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// Waits until `stop` is cancelled and every task has ended, at most [`HARD_STOP`] after it was.
    pub async fn run(self) -> Result<()> {
        self.stop.cancelled().await;
        self.tracker.close();
        if tokio::time::timeout(HARD_STOP, self.tracker.wait()).await.is_err() {
            warn!(tasks = self.tracker.len(), "some tasks did not stop in time: leaving without them");
        }
        if self.failed.is_cancelled() {
            bail!("stopped because a task failed; see the log above");
        }
        Ok(())
    }
}

/// Cancels `stop` at the first SIGTERM or SIGINT; a second one ends the process at once with exit code 130.
pub fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" }
        };
        // Not in the macro: where the level is not logged, its arguments are never evaluated, and nothing would wait.
        let signal = next().await;
        info!("{signal}: stopping, at most {HARD_STOP:?}; once more to leave at once");
        stop.cancel();
        next().await;
        std::process::exit(130);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_signal_stops_a_process_whatever_is_logged() {
        let stop = CancellationToken::new();
        // Nothing is logged in this test.
        stop_on_signals(stop.clone()).expect("signals can be waited for");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!stop.is_cancelled());
    }
}
