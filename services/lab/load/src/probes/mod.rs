//! Probes: what each part of this machine can do at most, with nothing of Comanda around it. A throughput of Comanda means something only
//! beside them: which part it wears out, and how much of that part it gets.

pub mod disk;
pub mod echo;
pub mod kafka;
pub mod pgbench;
pub mod push;
pub mod records;
pub mod rows;
mod server;

use std::time::{Duration, Instant};

/// Counts what `work` says it did, again and again for about as long as asked for, as a number per second.
fn per_second(duration: Duration, mut work: impl FnMut() -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < duration {
        count += work()?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
