//! Collects what a check finds, with its evidence.

use crate::{
    case::Case,
    history::{Line, What},
    invariant::Invariant,
    violation::Violation,
};

/// Violations that are told with their evidence, for each invariant; the others are only counted.
const TOLD: u64 = 100;
/// Lines that are shown of an order.
const LINES: usize = 80;
/// A fault counts as active at an evidence for so long after its end, in microseconds.
const AFTERMATH_US: u64 = 5_000_000;

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
