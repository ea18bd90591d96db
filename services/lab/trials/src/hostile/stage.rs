//! Where attacks are made: what they do to the process and to a good client is measured, and judged.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, interval, sleep};

use super::{
    bad_calls,
    good::Good,
    process::Process,
    report::{Report, Row},
    target::Target,
};

const SAMPLE: Duration = Duration::from_millis(50);
/// How long memory may take to come back.
const REST: Duration = Duration::from_secs(5);
const MIB: u64 = 1024 * 1024;

/// What an attack may cost in memory.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// While it lasts.
    pub peak_mib: u64,
    /// Afterwards.
    pub left_mib: u64,
}

impl Bounds {
    /// Of what one connection, or a few, can do.
    pub const FLOOD: Self = Self { peak_mib: 64, left_mib: 32 };
}

/// What attackers saw: a text, and what should not have been.
#[derive(Debug, Default)]
pub struct Seen {
    pub text: String,
    pub violations: Vec<String>,
}

impl From<String> for Seen {
    fn from(text: String) -> Self {
        Self { text, violations: Vec::new() }
    }
}

impl Seen {
    /// Both.
    pub fn and(self, other: Self) -> Self {
        let texts: Vec<_> = [self.text, other.text].into_iter().filter(|text| !text.is_empty()).collect();
        Self { text: texts.join("; "), violations: [self.violations, other.violations].concat() }
    }

    /// A text, and a violation unless something holds.
    pub fn require(mut self, holds: bool, violation: impl Into<String>) -> Self {
        self.violations.extend((!holds).then(|| violation.into()));
        self
    }
}

/// A process under attack.
pub struct Stage {
    process: Process,
    good: Good,
    report: Report,
}

impl Stage {
    /// Begins to look, and lets the good client begin.
    pub fn new(target: &Target, process: Process) -> Self {
        eprintln!("{}", Row::heads());
        Self { process, good: Good::start(target), report: Report::default() }
    }

    /// The bad calls.
    pub async fn bad_calls(&mut self, target: &Target, count: u64, seed: u64) -> Result<()> {
        let bounds = Bounds { peak_mib: 128, left_mib: 32 };
        self.attack("bad calls", bounds, async {
            let tally = bad_calls::run(target, count, seed).await?;
            Ok(Seen { text: tally.to_string(), violations: tally.complaints })
        })
        .await
    }

    /// Makes an attack. Fails where it cannot be made, or the process has ended.
    pub async fn attack(
        &mut self,
        name: &'static str,
        bounds: Bounds,
        attack: impl Future<Output = Result<Seen>>,
    ) -> Result<()> {
        let (began, before) = (Instant::now(), self.process.rss_bytes()?);
        let (seen, peak) = self.while_measured(attack).await?;
        let lasted = began.elapsed();
        let left = self.rss_at_rest(before + bounds.left_mib * MIB).await?;
        let row = Row {
            attack: name,
            lasted,
            peak_growth: peak.saturating_sub(before),
            left_growth: left.saturating_sub(before),
            served: self.good.served(began).await,
            seen: seen.text,
        };
        // Two minutes are long: each attack is shown when it is over.
        eprintln!("{row}");
        self.judge(&row, bounds, seen.violations);
        self.report.rows.push(row);
        Ok(())
    }

    async fn while_measured(&self, attack: impl Future<Output = Result<Seen>>) -> Result<(Seen, u64)> {
        let (mut peak, mut ticks) = (0, interval(SAMPLE));
        tokio::pin!(attack);
        loop {
            tokio::select! {
                seen = &mut attack => return Ok((seen?, peak)),
                _ = ticks.tick() => peak = peak.max(self.process.rss_bytes()?),
            }
        }
    }

    /// Waits until memory has come back, or it should have.
    async fn rss_at_rest(&self, wanted: u64) -> Result<u64> {
        let deadline = Instant::now() + REST;
        loop {
            let rss = self.process.rss_bytes()?;
            if rss <= wanted || Instant::now() > deadline {
                return Ok(rss);
            }
            sleep(SAMPLE).await;
        }
    }

    fn judge(&mut self, row: &Row, bounds: Bounds, violations: Vec<String>) {
        let Row { attack, peak_growth, left_growth, served, .. } = row;
        let violations = violations.into_iter().map(|violation| format!("{attack}: {violation}"));
        self.report.violations.extend(violations);
        for (growth, most, when) in
            [(peak_growth, bounds.peak_mib, "during it"), (left_growth, bounds.left_mib, "after it")]
        {
            if *growth > most * MIB {
                let text = format!("{attack}: {} MiB more memory {when}, not at most {most}", growth / MIB);
                self.report.violations.push(text);
            }
        }
        if let Some(error) = &served.error {
            let text =
                format!("{attack}: {} of {} calls of a good client failed: {error}", served.failed, served.calls);
            self.report.violations.push(text);
        }
    }

    /// Looks for panics and ends.
    pub fn close(mut self) -> Report {
        let alarms = self.process.alarms();
        self.report.log_was_read = alarms.is_some();
        let alarms = alarms.into_iter().flatten().map(|line| format!("in the log: {line}"));
        self.report.violations.extend(alarms);
        self.report
    }
}
