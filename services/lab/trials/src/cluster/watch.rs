//! Looks after processes once a second: how large they are, and whether their logs tell of what must not be.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use comanda_checker::history::What;
use procfs::process::Process as Proc;
use tokio::time::{MissedTickBehavior, interval};

use super::process::Process;
use crate::recorder::Recorder;

const INTERVAL: Duration = Duration::from_secs(1);
/// Parts of lines that no log may have.
pub const ALARMS: [&str; 3] = ["panicked at", "stack overflow", "memory allocation of"];

/// Looks until it is dropped.
pub async fn watch(processes: Vec<Process>, recorder: Recorder) {
    let mut read = vec![0; processes.len()];
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (process, read) in processes.iter().zip(&mut read) {
            recorder_sample(process, &recorder);
            for line in alarms(&new_lines(process, read)) {
                recorder.record(What::Alarm { process: process.name().into(), line });
            }
        }
    }
}

/// A process that ends meanwhile has no size.
fn recorder_sample(process: &Process, recorder: &Recorder) {
    let sample = || {
        let of = Proc::new(process.pid()?.try_into().ok()?).ok()?;
        let (status, files) = (of.status().ok()?, of.fd_count().ok()? as u64);
        let (rss_bytes, threads) = (status.vmrss? * 1024, status.threads);
        Some(What::Sample { process: process.name().into(), rss_bytes, threads, files })
    };
    if let Some(sample) = sample() {
        recorder.record(sample);
    }
}

/// What was written since the last time, up to the last whole line.
fn new_lines(process: &Process, read: &mut u64) -> String {
    let mut text = Vec::new();
    let file = File::open(&process.launch().log).and_then(|mut file| {
        file.seek(SeekFrom::Start(*read))?;
        file.read_to_end(&mut text)
    });
    // A log that is not there yet has nothing new.
    _ = file;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    *read += whole as u64;
    String::from_utf8_lossy(&text[..whole]).into_owned()
}

fn alarms(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| ALARMS.iter().any(|alarm| line.contains(alarm)));
    lines.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_alarm_and_an_error_is_not() {
        let text = "INFO all is well\nERROR no answer\nthread 'main' panicked at src/main.rs:1:2:\n";
        assert_eq!(alarms(text), ["thread 'main' panicked at src/main.rs:1:2:"]);
    }
}
