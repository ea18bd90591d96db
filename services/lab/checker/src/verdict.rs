//! What a judge found.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    case::Case,
    figures::Figures,
    history::{Line, What},
};

/// Violations that are told with their evidence, for each invariant; the others are only counted.
const TOLD: u64 = 100;
/// Lines that are shown of an order.
const LINES: usize = 80;
/// A fault counts as active at an evidence for so long after its end, in microseconds.
const AFTERMATH_US: u64 = 5_000_000;

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Invariant {
    /// What was accepted is there, exactly once and as it was accepted.
    C1Durable,
    /// Nothing is there that nobody asked for, or that was refused.
    C2NoPhantom,
    /// One request, one effect, one answer.
    C3Idempotent,
    /// Versions without hole or repeat, along the edges of the workflow, to an end; reads never go back.
    C4Chain,
    /// Each topic tells each order in the order of its versions, in one partition.
    C5LogOrder,
    /// No timer is early.
    C6Timers,
    /// Streams are ordered, whole and true.
    C7Watch,
    /// Every mail that is due was sent, to whom it concerns, and repeated only where nobody could know.
    C8Mail,
    /// What was consumed was dealt with; only what was planted was put aside.
    C9Account,
    /// After the last fault everything comes to rest in time.
    C11Liveness,
    /// No panic, no end that nobody wanted, no code that must not be, no growth.
    C12Hygiene,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// The order, where it concerns one.
    pub order_id: Option<String>,
    /// When it was seen, in the run's microseconds, where that is known.
    pub at_us: Option<u64>,
    /// What was seen, in one sentence with the figures.
    pub evidence: String,
    /// The order's lines around the evidence.
    pub lines: Vec<Line>,
    /// Faults that were active then.
    pub faults: Vec<String>,
}

/// The judgement of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What must not be, by invariant; of each at most 100 are told.
    pub violations: Vec<Violation>,
    /// How many there are of each invariant, told or not.
    pub counts: BTreeMap<Invariant, u64>,
    /// Why the run proves nothing even where no violation was found.
    pub doubts: Vec<String>,
    /// What the run consisted of.
    pub figures: Figures,
}

/// The judgement in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing was violated, and there was enough to violate.
    Pass,
    /// Something was violated.
    Fail,
    /// Nothing was violated, but the run proves nothing.
    Inconclusive,
}

impl Verdict {
    /// In a word. A violation weighs more than any doubt.
    pub fn outcome(&self) -> Outcome {
        match (self.counts.is_empty(), self.doubts.is_empty()) {
            (false, _) => Outcome::Fail,
            (true, false) => Outcome::Inconclusive,
            (true, true) => Outcome::Pass,
        }
    }
}

/// Collects the violations of one invariant.
#[derive(Debug)]
pub struct Findings<'c, 'a> {
    invariant: Invariant,
    case: &'c Case<'a>,
    /// What was found, told or not.
    pub count: u64,
    /// What is told.
    pub violations: Vec<Violation>,
}

impl<'c, 'a> Findings<'c, 'a> {
    /// Nothing yet.
    pub fn new(invariant: Invariant, case: &'c Case<'a>) -> Self {
        Self { invariant, case, count: 0, violations: Vec::new() }
    }

    /// Adds what concerns an order and was seen at a time.
    pub fn at(&mut self, order_id: &str, at_us: u64, evidence: impl Into<String>) {
        self.add(Some(order_id), Some(at_us), evidence.into());
    }

    /// Adds what concerns an order and was found at the end.
    pub fn order(&mut self, order_id: &str, evidence: impl Into<String>) {
        self.add(Some(order_id), None, evidence.into());
    }

    /// Adds what concerns no single order.
    pub fn system(&mut self, at_us: Option<u64>, evidence: impl Into<String>) {
        self.add(None, at_us, evidence.into());
    }

    fn add(&mut self, order_id: Option<&str>, at_us: Option<u64>, evidence: String) {
        self.count += 1;
        if self.count > TOLD {
            return;
        }
        let lines = order_id.map_or_else(Vec::new, |order_id| lines_around(self.case, order_id, at_us));
        let lived = lines.iter().filter(|line| !Case::is_dump(&line.what)).map(|line| line.at_us);
        let span = at_us.map(|at| (at, at)).or_else(|| Some((lived.clone().min()?, lived.max()?)));
        let faults = span.map_or_else(Vec::new, |(from, to)| active_faults(self.case, from, to));
        let order_id = order_id.map(Into::into);
        self.violations.push(Violation { invariant: self.invariant, order_id, at_us, evidence, lines, faults });
    }
}

fn active_faults(case: &Case<'_>, from_us: u64, to_us: u64) -> Vec<String> {
    let faults = case.faults_within(from_us.saturating_sub(AFTERMATH_US), to_us);
    faults.map(|fault| format!("{} on {}", fault.name, fault.target)).collect()
}

/// The lines of an order that are nearest to a time, in their order. What was left at the end is always near.
fn lines_around(case: &Case<'_>, order_id: &str, at_us: Option<u64>) -> Vec<Line> {
    let Some(order) = case.order(order_id) else { return Vec::new() };
    let mut near = order.lines.clone();
    if let Some(at_us) = at_us {
        near.sort_by_key(|&at| distance_us(&case.lines[at], at_us));
    }
    near.truncate(LINES);
    near.sort_unstable();
    near.into_iter().map(|at| case.lines[at].clone()).collect()
}

fn distance_us(line: &Line, at_us: u64) -> u64 {
    match &line.what {
        remains if Case::is_dump(remains) => 0,
        What::Watch { .. } => 0,
        _ => line.at_us.abs_diff(at_us),
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::C1Durable => "C1 durable",
            Self::C2NoPhantom => "C2 no phantom",
            Self::C3Idempotent => "C3 idempotent",
            Self::C4Chain => "C4 chain",
            Self::C5LogOrder => "C5 log order",
            Self::C6Timers => "C6 timers",
            Self::C7Watch => "C7 watch",
            Self::C8Mail => "C8 mail",
            Self::C9Account => "C9 account",
            Self::C11Liveness => "C11 liveness",
            Self::C12Hygiene => "C12 hygiene",
        };
        f.pad(name)
    }
}
