//! From lines to a verdict.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::{Attempt, Case, Outcome},
    codes::{Meaning, meaning},
    figures::Figures,
    findings::Findings,
    history::{Event, Line, Op, What},
    invariant::Invariant,
    invariants,
    verdict::Verdict,
};

/// A process that answers none of so many calls is not one that faults alone keep from it.
const MANY_CALLS: u64 = 100;

/// Judges a run by all lines of its history, those of its end included, in any order of files.
///
/// Takes as much memory as the lines themselves, some hundred bytes each, and as much again for what it knows of each order.
pub fn judge(lines: impl IntoIterator<Item = Line>) -> Verdict {
    let mut lines: Vec<Line> = lines.into_iter().collect();
    // Stable: lines of the same moment stay as they were told.
    lines.sort_by_key(|line| line.at_us);
    judge_case(&Case::new(&lines))
}

fn judge_case(case: &Case<'_>) -> Verdict {
    let mut verdict =
        Verdict { violations: Vec::new(), counts: BTreeMap::new(), doubts: doubts(case), figures: Figures::of(case) };
    for &(invariant, check, needs_remains) in invariants::ALL {
        if case.dumped || !needs_remains {
            add(&mut verdict, case, invariant, check);
        }
    }
    verdict
}

fn add(verdict: &mut Verdict, case: &Case<'_>, invariant: Invariant, check: invariants::Check) {
    let mut found = Findings::new(invariant, case);
    check(case, &mut found);
    if found.count > 0 {
        *verdict.counts.entry(invariant).or_default() += found.count;
    }
    verdict.violations.append(&mut found.violations);
}

/// Why a run proves nothing.
fn doubts(case: &Case<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    if !case.dumped {
        doubts.push("nothing tells what was left at the end: the run was not dumped".into());
    }
    if case.last_heal_us.is_none() {
        doubts.push("the run was broken off before its last heal".into());
    }
    if !case.drained() {
        doubts.push("the run did not come to rest".into());
    }
    let Some(run) = case.run else {
        doubts.push("the history does not say which run it is of".into());
        return doubts;
    };
    let kinds = case.made_faults().map(|fault| fault.name).collect::<BTreeSet<_>>();
    let accepted = case.accepted().len() as u64;
    for (what, there_are, least) in [
        ("accepted orders", accepted, run.least_orders),
        ("faults", case.made_faults().count() as u64, run.least_faults),
        ("kinds of fault", kinds.len() as u64, run.least_fault_kinds),
        ("commands that moved orders", moved(case), run.least_moves),
        ("transitions that streams showed", shown(case), run.least_shown),
        ("jobs of couriers that were completed", completed(case), run.least_jobs),
    ] {
        if there_are < least {
            doubts.push(format!("{there_are} {what}, where {least} are the least that count"));
        }
    }
    doubts.extend(unanswered(case).map(|replica| format!("of many calls {replica} answered none with OK")));
    doubts
}

/// Processes that served nobody, though many called: what they should have shown was never tried.
fn unanswered<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a str> {
    let mut calls: BTreeMap<u64, &str> = BTreeMap::new();
    let mut answered: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
    for line in case.lines {
        match &line.what {
            What::Invoke { call, replica, op, .. } if !matches!(op, Op::Bad { .. } | Op::Foreign { .. }) => {
                _ = calls.insert(*call, replica)
            }
            What::Return { call, code, .. } => {
                let Some(replica) = calls.remove(call) else { continue };
                let (count, any) = answered.entry(replica).or_default();
                *count += 1;
                *any |= meaning(code) == Meaning::Ok;
            }
            _ => {}
        }
    }
    answered.into_iter().filter(|(_, (count, any))| *count >= MANY_CALLS && !any).map(|(replica, _)| replica)
}

fn moved(case: &Case<'_>) -> u64 {
    let made = |attempt: &&Attempt<'_, _, _>| matches!(attempt.outcome, Outcome::Ok { replayed: false, .. });
    case.moves.iter().filter(made).count() as u64
}

fn completed(case: &Case<'_>) -> u64 {
    let rows = case.orders.values().flat_map(|order| &order.assignments);
    rows.filter(|row| row.outcome == "completed").count() as u64
}

fn shown(case: &Case<'_>) -> u64 {
    let events = case.streams.values().flat_map(|stream| &stream.events);
    events.filter(|(_, event)| matches!(event, Event::Transition { .. })).count() as u64
}
