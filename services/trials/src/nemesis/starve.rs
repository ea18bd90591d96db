//! Taking the processors' time.

use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// Threads that do nothing as fast as they can, until this is dropped.
#[derive(Debug)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Twice as many as there are processors.
    pub fn start() -> Self {
        let busy = Arc::new(AtomicBool::new(true));
        for _ in 0..2 * thread::available_parallelism().map_or(2, usize::from) {
            let goes_on = busy.clone();
            thread::spawn(move || {
                while goes_on.load(Relaxed) {
                    spin_loop();
                }
            });
        }
        Self(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}
