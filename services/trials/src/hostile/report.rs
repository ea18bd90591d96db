//! What an attack did, and whether it was borne.

use std::{fmt, time::Duration};

use super::good::Served;

const MIB: f64 = 1024.0 * 1024.0;

/// One attack.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub attack: &'static str,
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>6} {:>9} {:>9}  {:>17}  {:>7} {:>7}  seen",
            "attack", "s", "peak MiB", "left MiB", "good calls failed", "p50 ms", "p99 ms"
        )?;
        for row in &self.rows {
            let Row { attack, lasted, peak_growth, left_growth, served, seen } = row;
            let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
            writeln!(
                f,
                "{attack:<26} {:>6.1} {:>9.1} {:>9.1}  {:>9} {:>7}  {:>7.1} {:>7.1}  {seen}",
                lasted.as_secs_f64(),
                *peak_growth as f64 / MIB,
                *left_growth as f64 / MIB,
                served.calls,
                served.failed,
                ms(served.median),
                ms(served.p99),
            )?;
        }
        if !self.log_was_read {
            writeln!(f, "The process does not log into a file: panics could not be looked for.")?;
        }
        self.violations.iter().try_for_each(|violation| writeln!(f, "VIOLATION {violation}"))
    }
}
