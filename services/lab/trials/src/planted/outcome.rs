//! What became of a bug, as a row of a table.

use std::{collections::BTreeMap, time::Duration};

use comanda_checker::{Invariant, Verdict};

use super::bug::Bug;

/// The table's head.
pub const HEAD: &str = "\
| bug | meant for | caught | after | seed | also seen by | first evidence |
|---|---|---|---|---|---|---|";
/// Evidence is told up to here.
const MOST_CHARS: usize = 160;

/// What the tries came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    bug: &'static str,
    meant: Invariant,
    seed: u64,
    took: Duration,
    counts: BTreeMap<Invariant, u64>,
    evidence: String,
    doubts: Vec<String>,
}

impl Outcome {
    /// Of the last try; `took` is the time since the first began.
    pub fn new(bug: &Bug, seed: u64, took: Duration, verdict: &Verdict) -> Self {
        let (meant, counts) = (bug.caught_by, verdict.counts.clone());
        let first = verdict.violations.iter().find(|violation| violation.invariant == meant);
        let first = first.or(verdict.violations.first());
        let evidence = first.map_or_else(String::new, |first| shown(&first.evidence));
        Self { bug: bug.name, meant, seed, took, counts, evidence, doubts: verdict.doubts.clone() }
    }

    /// Whether the invariant that is meant for it saw the bug.
    pub fn is_caught(&self) -> bool {
        self.counts.contains_key(&self.meant)
    }

    /// Whether this is what is wanted: of a control, that nothing was found in a run that counts.
    pub fn is_good(&self, control: bool) -> bool {
        if control { self.counts.is_empty() && self.doubts.is_empty() } else { self.is_caught() }
    }

    /// A row of the table.
    pub fn row(&self) -> String {
        let count = self.counts.get(&self.meant).map_or("no".into(), |count| format!("{count} times"));
        let others = self.counts.keys().filter(|invariant| **invariant != self.meant);
        let others = others.map(ToString::to_string).chain(self.doubts.iter().map(|doubt| format!("({doubt})")));
        format!(
            "| {} | {} | {count} | {} s | {} | {} | {} |",
            self.bug,
            self.meant,
            self.took.as_secs(),
            self.seed,
            others.collect::<Vec<_>>().join(", "),
            self.evidence
        )
    }
}

/// The last line.
pub fn summary(outcomes: &[Outcome], control: bool) -> String {
    let good = outcomes.iter().filter(|outcome| outcome.is_good(control)).count();
    if control {
        return format!("{good}/{} without any violation", outcomes.len());
    }
    let mut times: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_caught()).map(|outcome| outcome.took).collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).map_or_else(String::new, |time| format!(", median {} s", time.as_secs()));
    format!("{good}/{} caught{median}", outcomes.len())
}

/// One cell of a table.
fn shown(evidence: &str) -> String {
    let line = evidence.replace(['\n', '|'], " ");
    if line.chars().count() <= MOST_CHARS {
        return line;
    }
    line.chars().take(MOST_CHARS).chain("..".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::BUGS;

    fn outcome(counts: &[(Invariant, u64)]) -> Outcome {
        let (counts, bug) = (counts.iter().copied().collect(), BUGS[1]);
        let (took, evidence) = (Duration::from_secs(61), String::new());
        Outcome { bug: bug.name, meant: bug.caught_by, seed: 7, took, counts, evidence, doubts: Vec::new() }
    }

    #[test]
    fn a_bug_is_caught_only_by_the_invariant_that_is_meant_for_it() {
        assert!(outcome(&[(Invariant::C5LogOrder, 1)]).is_caught());
        assert!(!outcome(&[(Invariant::C4Chain, 9)]).is_caught());
    }

    #[test]
    fn a_control_is_good_where_nothing_was_found_and_the_run_counts() {
        assert!(outcome(&[]).is_good(true));
        assert!(!outcome(&[(Invariant::C4Chain, 1)]).is_good(true));
        let doubtful = Outcome { doubts: vec!["too few orders".into()], ..outcome(&[]) };
        assert!(!doubtful.is_good(true));
    }

    #[test]
    fn the_summary_counts_what_was_caught() {
        let outcomes = [outcome(&[(Invariant::C5LogOrder, 1)]), outcome(&[])];
        assert_eq!(summary(&outcomes, false), "1/2 caught, median 61 s");
        assert_eq!(summary(&outcomes, true), "1/2 without any violation");
    }
}
