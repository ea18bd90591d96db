//! What tests log.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

/// What was logged by the thread of a test while the guard lives.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Catches logs until the guard is dropped. In a test of a single thread these are the logs of all its tasks.
    pub fn catch() -> (Self, DefaultGuard) {
        let logs = Self::default();
        let writer = logs.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (logs, tracing::subscriber::set_default(subscriber))
    }

    /// How often a text was logged.
    pub fn count(&self, text: &str) -> usize {
        let bytes = self.0.lock().expect("no holder of this lock panics");
        String::from_utf8_lossy(&bytes).matches(text).count()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no holder of this lock panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logs go to the test's captured output, which a failing test shows.
pub(super) fn show_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Fails where another test of this process has done it.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}
