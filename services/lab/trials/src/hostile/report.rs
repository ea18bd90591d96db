//! What an attack did, and whether it was borne.

use std::{fmt, time::Duration};

use super::good::Served;

const MIB: f64 = 1024.0 * 1024.0;

/// One attack.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub attack: &'static str,
    /// How long it took.
    pub lasted: Duration,
    /// How much larger the process was at its largest, in bytes.
    pub peak_growth: u64,
    /// How much larger it was afterwards.
    pub left_growth: u64,
    /// How a good client was served meanwhile.
    pub served: Served,
    /// What the attackers saw.
    pub seen: String,
}

/// All attacks.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which they were made.
    pub rows: Vec<Row>,
    /// What should not have been: none, if the system bore it all.
    pub violations: Vec<String>,
    /// Whether the process' log could be searched for panics.
    pub log_was_read: bool,
}

impl Row {
    /// What the columns are.
    pub fn heads() -> String {
        format!(
            "{:<26} {:>6} {:>9} {:>9} {:>11} {:>7} {:>7} {:>7}  seen",
            "attack", "s", "peak MiB", "left MiB", "good calls", "failed", "p50 ms", "p99 ms"
        )
    }
}

impl Report {
    /// Whether the system bore it all.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.log_was_read
    }

    /// Of attacks that did not come to their end.
    pub fn broken(error: &anyhow::Error) -> Self {
        Self { violations: vec![format!("the attacks broke off: {error:#}")], ..Self::default() }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attack, lasted, peak_growth, left_growth, served, seen } = self;
        let (seconds, peak, left) = (lasted.as_secs_f64(), *peak_growth as f64 / MIB, *left_growth as f64 / MIB);
        let Served { calls, failed, median, p99, .. } = served;
        let (median, p99) = (median.as_secs_f64() * 1000.0, p99.as_secs_f64() * 1000.0);
        write!(
            f,
            "{attack:<26} {seconds:>6.1} {peak:>9.1} {left:>9.1} {calls:>11} {failed:>7} {median:>7.1} {p99:>7.1}  {seen}"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Row::heads())?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        if !self.log_was_read {
            writeln!(f, "The process does not log into a file: panics could not be looked for.")?;
        }
        self.violations.iter().try_for_each(|violation| writeln!(f, "VIOLATION {violation}"))
    }
}
