//! Writes the history: every part reports what it sees here, and one thread writes it down.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result};
use comanda_checker::history::{Answer, Line, What};
use tokio::sync::oneshot;

/// Lines that may wait for the disk. A caller with more of them waits.
const QUEUE: usize = 65_536;

/// A handle of the history; clones write to the same file.
#[derive(Clone, Debug)]
pub struct Recorder {
    began: Instant,
    lines: SyncSender<Message>,
    numbers: Arc<AtomicU64>,
    tally: Arc<Tally>,
}

/// What has been told so far, for the progress display and for those that wait.
#[derive(Debug, Default)]
pub struct Tally {
    /// Orders that were answered OK.
    pub accepted: AtomicU64,
    /// Calls that ended otherwise.
    pub refused: AtomicU64,
    /// Transitions that streams showed.
    pub events: AtomicU64,
    /// Mails that came in whole.
    pub mails: AtomicU64,
    /// Faults that began.
    pub faults: AtomicU64,
    /// Lines of logs that must not be, and ends that nobody wanted.
    pub alarms: AtomicU64,
}

enum Message {
    Line(Box<Line>),
    Flush(oneshot::Sender<Result<()>>),
}

impl Recorder {
    /// Begins a history in a new file. Times are counted from now.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create_new(path).with_context(|| format!("cannot make {}", path.display()))?;
        let (lines, told) = sync_channel(QUEUE);
        // A thread, not a task: a task that waits for it then never waits for the runtime that it occupies itself.
        thread::Builder::new().name("recorder".into()).spawn(move || write_all(&told, BufWriter::new(file)))?;
        Ok(Self { began: Instant::now(), lines, numbers: Arc::default(), tally: Arc::default() })
    }

    /// Begins another file of the same history: times, numbers and counts go on.
    pub fn beside(&self, path: &Path) -> Result<Self> {
        Ok(Self { lines: Self::create(path)?.lines, ..self.clone() })
    }

    /// Notes that something happened now. May be called from anywhere; it returns at once unless the disk is far behind.
    pub fn record(&self, what: What) {
        self.tally.count(&what);
        // A writer that failed is told by `flush`.
        _ = self.lines.send(Message::Line(Box::new(Line { at_us: self.elapsed_us(), what })));
    }

    /// A number that nothing else in this history has: for a call, a stream or a fault.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    /// Microseconds since the history began.
    pub fn elapsed_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Counts of what was told so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Waits until everything that was told before is in the file. An error means that the history has holes and is worth nothing.
    pub async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        self.lines.send(Message::Flush(done)).ok().context("the history's writer has ended")?;
        flushed.await.context("the history's writer has ended")?
    }
}

impl Tally {
    fn count(&self, what: &What) {
        let (counter, by) = match what {
            What::Return { answer: Some(Answer::Created { replayed: false, .. }), .. } => (&self.accepted, 1),
            What::Return { answer: Some(Answer::Batch { results }), .. } => {
                let accepted = results.iter().filter(|result| result.order.is_some() && !result.replayed).count();
                (&self.accepted, accepted as u64)
            }
            What::Return { answer: None, .. } => (&self.refused, 1),
            What::Event { .. } => (&self.events, 1),
            What::Mail { .. } => (&self.mails, 1),
            What::Fault { .. } => (&self.faults, 1),
            What::Alarm { .. } | What::Exited { wanted: false, .. } => (&self.alarms, 1),
            _ => return,
        };
        counter.fetch_add(by, Relaxed);
    }
}

/// Writes until the last handle is gone. After an error nothing more is written, and each flush tells it.
fn write_all(told: &Receiver<Message>, mut file: BufWriter<File>) {
    let mut failed: Option<String> = None;
    while let Ok(message) = told.recv() {
        match message {
            Message::Line(line) if failed.is_none() => {
                failed = write(&mut file, &line).err().map(|error| format!("{error:#}"))
            }
            Message::Line(_) => {}
            Message::Flush(done) => {
                let flushed = file.flush().context("cannot write the history");
                // The caller may have stopped waiting.
                _ = done.send(
                    failed.as_ref().map_or(flushed, |error| Err(anyhow::anyhow!("cannot write the history: {error}"))),
                );
            }
        }
    }
}

fn write(file: &mut impl Write, line: &Line) -> Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    Ok(file.write_all(b"\n")?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_was_told_before_a_flush_is_in_the_file_in_the_order_of_its_times() {
        let path = std::env::temp_dir().join(format!("comanda-recorder-{}.jsonl", uuid::Uuid::now_v7()));
        let recorder = Recorder::create(&path).expect("a new file");
        for fault in 0..1000 {
            recorder.record(What::Heal { fault, failed: None });
        }
        recorder.record(What::Fault { fault: recorder.number(), name: "pause".into(), target: "ordering-0".into() });
        recorder.flush().await.expect("a disk with room");
        let text = fs::read_to_string(&path).expect("written");
        fs::remove_file(&path).expect("ours");
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
        assert_eq!(lines.len(), 1001);
        assert!(lines.is_sorted_by_key(|line| line.at_us));
        assert_eq!(recorder.tally().faults.load(Relaxed), 1);
    }
}
