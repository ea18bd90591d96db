//! What a run consisted of, in figures.

mod recovery;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use recovery::Recovery;

use crate::{
    case::{Case, OrderCase, Outcome},
    codes::{Meaning, meaning},
    history::{Answer, Event, Start, Topic, What},
    invariants::watch_all,
};

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The run's seed.
    pub seed: u64,
    /// From the first line to the last, in milliseconds.
    pub run_ms: u64,
    /// From the last heal until everything had come to rest, in milliseconds.
    pub drain_ms: Option<u64>,
    /// Orders that are there.
    pub orders: u64,
    /// Orders that were answered OK.
    pub accepted: u64,
    /// Answers OK that told of an order made before.
    pub replayed: u64,
    /// Calls whose clients do not know what became of them.
    pub unknown: u64,
    /// Calls that were refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Transitions that are there.
    pub transitions: u64,
    /// Faults that were made, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Records that repeat others, of the topic of orders.
    pub repeated_orders: u64,
    /// Records that repeat others, of the topic of transitions.
    pub repeated_transitions: u64,
    /// Records that were put aside.
    pub dead_letters: u64,
    /// Mails that were accepted, repeats included.
    pub mails: u64,
    /// Mails that were accepted more than once: the repeats.
    pub repeated_mails: u64,
    /// Mails that came in whole and were left without an answer.
    pub ambiguous_mails: u64,
    /// Mails that were given up.
    pub dead_mails: u64,
    /// Assignments that were completed.
    #[serde(default)]
    pub jobs: u64,
    /// Transitions that streams showed.
    pub watch_events: u64,
    /// Streams that were opened.
    pub streams: u64,
    /// Streams that went on where another had stopped.
    pub resumes: u64,
    /// Transitions that streams of many orders showed again.
    pub watch_repeats: u64,
    /// Streams of many orders whose token had expired.
    pub watch_expired: u64,
    /// How late timers fired.
    pub timers: Lateness,
    /// How often processes repaired something, by counter.
    pub counters: BTreeMap<String, f64>,
    /// Accepted orders in each second of the run.
    pub goodput: Vec<u32>,
    /// How long it took after the heal of each kind of fault until all went as before.
    pub recovery: BTreeMap<String, Recovery>,
}

/// How late timers fired, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lateness {
    /// Timers that fired.
    pub count: u64,
    /// Half of them were not later.
    pub p50_us: i64,
    /// 99 of 100 were not later.
    pub p99_us: i64,
    /// None was later.
    pub max_us: i64,
}

impl Figures {
    /// The figures of a case.
    pub fn of(case: &Case<'_>) -> Self {
        let mut figures = Self {
            seed: case.run.map_or(0, |run| run.seed),
            run_ms: case.end_us / 1000,
            drain_ms: case.drained_us.zip(case.last_heal_us).map(|(to, from)| to.saturating_sub(from) / 1000),
            orders: case.orders.values().filter(|order| order.row().is_some()).count() as u64,
            accepted: case.accepted().len() as u64,
            replayed: case.creates.iter().filter(|create| is_replay(&create.outcome)).count() as u64,
            transitions: case.orders.values().map(|order| order.steps.len() as u64).sum(),
            repeated_orders: case.repeats(Topic::Orders).1,
            repeated_transitions: case.repeats(Topic::Transitions).1,
            watch_repeats: watch_all::repeats(case),
            watch_expired: watch_all::expired(case),
            timers: lateness(case),
            goodput: recovery::accepted_per_second(case),
            recovery: recovery::by_kind(case),
            ..Self::default()
        };
        case.made_faults().for_each(|fault| *figures.faults.entry(fault.name.into()).or_default() += 1);
        case.lines.iter().for_each(|line| figures.count(&line.what));
        figures.count_mails(case);
        figures
    }

    fn count(&mut self, what: &What) {
        match what {
            What::Return { code, answer, .. } => {
                self.count_code(code);
                if let Some(Answer::Batch { results }) = answer {
                    results.iter().for_each(|result| self.count_code(&result.code));
                }
            }
            What::Watch { after_version, .. } => self.count_stream(*after_version > 0),
            What::WatchAll { start, .. } => self.count_stream(matches!(start, Start::Token { .. })),
            What::Event { event: Event::Transition { .. }, .. } => self.watch_events += 1,
            What::DeadLetterRow { .. } => self.dead_letters += 1,
            What::AssignmentRow(row) if row.outcome == "completed" => self.jobs += 1,
            What::Counter { name, value, .. } => *self.counters.entry(name.clone()).or_default() += value,
            _ => {}
        }
    }

    fn count_code(&mut self, code: &str) {
        match meaning(code) {
            Meaning::Ok => {}
            Meaning::Refused => *self.refused.entry(code.into()).or_default() += 1,
            Meaning::Unknown | Meaning::Forbidden => self.unknown += 1,
        }
    }

    fn count_stream(&mut self, resumes: bool) {
        self.streams += 1;
        self.resumes += u64::from(resumes);
    }

    fn count_mails(&mut self, case: &Case<'_>) {
        for came_in in case.mails.values() {
            let accepted = came_in.iter().filter(|delivery| delivery.accepted()).count() as u64;
            self.mails += accepted;
            self.repeated_mails += accepted.saturating_sub(1);
            self.ambiguous_mails += came_in.iter().filter(|delivery| delivery.unanswered()).count() as u64;
        }
        let dead = |order: &OrderCase<'_>| order.mails.iter().filter(|mail| mail.state == "dead").count() as u64;
        self.dead_mails = case.orders.values().map(dead).sum();
    }
}

fn is_replay<Shown>(outcome: &Outcome<Shown>) -> bool {
    matches!(outcome, Outcome::Ok { replayed: true, .. })
}

fn lateness(case: &Case<'_>) -> Lateness {
    let fired = case.orders.values().flat_map(OrderCase::pairs).filter(|(_, now)| now.trigger == "timer");
    let mut late_us: Vec<i64> = fired.filter_map(|(before, now)| Some(now.time_us - before.next_time_us?)).collect();
    late_us.sort_unstable();
    let at = |percent: usize| late_us.get((late_us.len() * percent / 100).min(late_us.len().saturating_sub(1)));
    let at = |percent| at(percent).copied().unwrap_or_default();
    Lateness { count: late_us.len() as u64, p50_us: at(50), p99_us: at(99), max_us: at(100) }
}
