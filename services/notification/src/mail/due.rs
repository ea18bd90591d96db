//! Tells the task that takes due mails when to look for some.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// For how long after mails were seen to wait, a finished mail may be what one of them waited for. Later only the poll finds them.
const LATELY: Duration = Duration::from_secs(10);

/// What has happened since the task looked last.
#[derive(Debug, Default)]
pub struct Due {
    notify: Notify,
    seen: Mutex<Option<Instant>>,
    finished: AtomicUsize,
}

impl Due {
    /// Mails have become due; some may have to wait for an earlier one of their order.
    pub fn entered(&self) {
        self.seen();
        self.notify.notify_one();
    }

    /// Mails were taken that had waited: more may wait.
    pub fn seen(&self) {
        *self.last_seen() = Some(Instant::now());
    }

    /// Attempts to send mails have ended: the next mails of their orders may be taken. Most orders have none, so nobody looks unless mails
    /// were seen to wait lately.
    pub fn finished(&self, count: usize) {
        self.finished.fetch_add(count, Relaxed);
        if self.last_seen().is_some_and(|seen| seen.elapsed() < LATELY) {
            self.notify.notify_one();
        }
    }

    /// Waits until there may be a mail to take. Returns how many tries have ended since the last call.
    pub async fn wait(&self) -> usize {
        self.notify.notified().await;
        self.finished.swap(0, Relaxed)
    }

    fn last_seen(&self) -> MutexGuard<'_, Option<Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_finished_mail_matters_only_while_others_may_wait_for_it() {
        let due = Due::default();
        due.finished(3);
        assert_eq!(due.wait().now_or_never(), None);
        due.entered();
        assert_eq!(due.wait().now_or_never(), Some(3));
        due.finished(2);
        assert_eq!(due.wait().now_or_never(), Some(2));
        tokio::time::advance(LATELY).await;
        due.finished(1);
        assert_eq!(due.wait().now_or_never(), None);
        due.seen();
        due.finished(1);
        assert_eq!(due.wait().now_or_never(), Some(2));
    }
}
