//! What a judged history tells in figures that goals are about. Pure.

use std::collections::{BTreeMap, HashMap};

use comanda_checker::{
    Verdict,
    case::{Case, Fault},
    figures::Figures,
    history::{Answer, Event, Op, Topic, What},
};

use crate::run::ALL_TOLD_S;

/// As before: over so many microseconds ..
const WINDOW_US: u64 = 2_000_000;
/// .. there is this share of what there was ..
const SHARE: f64 = 0.9;
/// .. in the median second of these microseconds before the fault: what an earlier fault held back came all at once, and is not usual.
const BEFORE_US: u64 = 11_000_000;
const SECOND_US: u64 = 1_000_000;
/// Steps in which a return is looked for.
const STEP_US: u64 = 100_000;

/// A judged history.
#[derive(Debug)]
pub struct Facts<'a> {
    /// All of it, in order.
    pub case: &'a Case<'a>,
    /// The judgement.
    pub verdict: &'a Verdict,
    /// On which scale the trial was made.
    pub scale: f64,
}

/// A call with its end.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What was asked for.
    pub op: &'a Op,
    /// Whom.
    pub replica: &'a str,
    /// When.
    pub sent_us: u64,
    /// When the client stopped waiting.
    pub done_us: u64,
    /// What it was left with.
    pub code: &'a str,
    /// The reason in an error's details.
    pub reason: Option<&'a str>,
    /// Where the code is OK.
    pub answer: Option<&'a Answer>,
}

impl Call<'_> {
    /// Whether it creates orders.
    pub fn creates(&self) -> bool {
        matches!(self.op, Op::Create(_) | Op::CreateBatch { .. })
    }

    /// Whether it ended neither as it should nor because its client hung up or asked for what must be refused.
    pub fn failed(&self) -> bool {
        match (self.code, self.answer) {
            ("OK", Some(Answer::Batch { results })) => {
                results.iter().any(|result| !matches!(&*result.code, "OK" | "INVALID_ARGUMENT"))
            }
            ("OK" | "CANCELLED", _) => false,
            _ => self.reason != Some("IDEMPOTENCY_MISMATCH"),
        }
    }
}

impl<'a> Facts<'a> {
    /// The run's figures.
    pub fn figures(&self) -> &Figures {
        &self.verdict.figures
    }

    /// Faults whose names contain this.
    pub fn faults(&self, name: &str) -> impl Iterator<Item = &'a Fault<'a>> {
        self.case.faults.iter().filter(move |fault| fault.made && fault.name.contains(name))
    }

    /// From the first fault of a name to the end of the last, in microseconds.
    pub fn span_us(&self, name: &str) -> Option<(u64, u64)> {
        let from_us = self.faults(name).map(|fault| fault.from_us).min()?;
        Some((from_us, self.faults(name).map(|fault| fault.to_us).max()?))
    }

    /// All calls that ended.
    pub fn calls(&self) -> Vec<Call<'a>> {
        let (mut sent, mut calls) = (HashMap::new(), Vec::new());
        for line in self.case.lines {
            match &line.what {
                What::Invoke { call, op, replica, .. } => _ = sent.insert(*call, (line.at_us, op, replica)),
                What::Return { call, code, reason, answer } => {
                    let Some((sent_us, op, replica)) = sent.remove(call) else { continue };
                    let (reason, answer) = (reason.as_deref(), answer.as_ref());
                    calls.push(Call { op, replica, sent_us, done_us: line.at_us, code, reason, answer });
                }
                _ => {}
            }
        }
        calls
    }

    /// Figures that the run itself took.
    pub fn measured(&self, name: &str) -> Vec<f64> {
        let all = self.case.pick(|line| match &line.what {
            What::Measured { name: found, value } if found == name => Some(*value),
            _ => None,
        });
        all.collect()
    }

    /// The largest of these.
    pub fn most_measured(&self, name: &str) -> Option<f64> {
        self.measured(name).into_iter().reduce(f64::max)
    }

    /// Seconds from the end of the last fault of a name until everything had come to rest.
    pub fn drained_s(&self, name: &str) -> Option<f64> {
        let (_, to_us) = self.span_us(name)?;
        Some(self.case.drained_us?.saturating_sub(to_us) as f64 / 1e6)
    }

    /// Seconds from the end of the last fault of a name until every order had ended and all was told, but for mails.
    pub fn told_s(&self, name: &str) -> Option<f64> {
        let (_, to_us) = self.span_us(name)?;
        Some(self.case.last_heal_us?.saturating_sub(to_us) as f64 / 1e6 + self.most_measured(ALL_TOLD_S)?)
    }

    /// When orders were accepted, in order.
    pub fn accepted_us(&self) -> Vec<u64> {
        let first_seen = self.case.creates.iter().filter_map(|create| {
            let order = self.case.order(&create.shown()?.order_id)?;
            Some((create.shown()?.order_id.as_str(), order.sightings.first()?.seen_us))
        });
        sorted(first_seen.collect::<BTreeMap<_, _>>().into_values())
    }

    /// For each transition when it was first shown by any stream, and how much later than it happened that was: in microseconds,
    /// beyond the least delay of all, since the two clocks do not know each other.
    pub fn shown_us(&self) -> Vec<(u64, u64)> {
        let mut first: HashMap<(&str, i64), (u64, i64)> = HashMap::new();
        for line in self.case.lines {
            if let What::Event { event: Event::Transition { transition }, .. } = &line.what {
                let delay_us = line.at_us as i64 - transition.time_us;
                first.entry((&transition.order_id, transition.version)).or_insert((line.at_us, delay_us));
            }
        }
        let least = first.values().map(|(_, delay_us)| *delay_us).min().unwrap_or_default();
        first.into_values().map(|(at_us, delay_us)| (at_us, (delay_us - least) as u64)).collect()
    }

    /// The delay in milliseconds that so many percent of the transitions do not exceed which were shown between two times.
    pub fn delay_ms(&self, from_us: u64, to_us: u64, percent: usize) -> Option<f64> {
        let within = self.shown_us().into_iter().filter(|(at_us, _)| (from_us..to_us).contains(at_us));
        let delays = sorted(within.map(|(_, delay_us)| delay_us));
        delays.get((delays.len() * percent / 100).min(delays.len().saturating_sub(1))).map(|us| *us as f64 / 1000.0)
    }

    /// The largest that a process was within a span or 5 s after it, beyond the largest that it was before, in MiB.
    pub fn growth_mib(&self, process: &str, (from_us, to_us): (u64, u64)) -> Option<f64> {
        let samples = || {
            self.case.pick(|line| match &line.what {
                What::Sample { process: found, rss_bytes, .. } if found == process => Some((line.at_us, *rss_bytes)),
                _ => None,
            })
        };
        let most = |from_us: u64, to_us: u64| {
            let within = samples().filter(|(at_us, _)| (from_us..to_us).contains(at_us));
            within.map(|(_, bytes)| bytes as f64 / (1024.0 * 1024.0)).reduce(f64::max)
        };
        Some(most(from_us, to_us + 5_000_000)? - most(0, from_us)?)
    }

    /// Records that repeat others, in percent of all.
    pub fn repeated_percent(&self) -> f64 {
        let (figures, orders) = (self.figures(), self.case.orders.values());
        let records: usize = orders.map(|order| order.placed.len() + order.transitions.len()).sum();
        (figures.repeated_orders + figures.repeated_transitions) as f64 * 100.0 / records.max(1) as f64
    }

    /// The newest log of a topic.
    pub fn last_log(&self, topic: Topic) -> u32 {
        self.case.logs.get(&topic).copied().unwrap_or(1)
    }
}

/// How long after the beginning of a fault events came as often as before it, in seconds.
pub fn back_s(events_us: &[u64], fault: &Fault<'_>, until_us: u64) -> Option<f64> {
    let usual = usual_per_second(events_us, fault.from_us).filter(|usual| *usual > 0)?;
    let wanted = usual as f64 * SHARE * WINDOW_US as f64 / SECOND_US as f64;
    // Twice in a row, so that what was still under way does not count as being back.
    let starts = (fault.from_us..until_us.saturating_sub(2 * WINDOW_US)).step_by(STEP_US as usize);
    let back = starts.into_iter().find(|&from| {
        let enough = |from: u64| count(events_us, from, from + WINDOW_US) as f64 >= wanted;
        enough(from) && enough(from + WINDOW_US) && count(events_us, from, from + STEP_US) > 0
    });
    back.map(|at| (at - fault.from_us) as f64 / 1e6)
}

/// In the median of the seconds before a time.
fn usual_per_second(events_us: &[u64], until_us: u64) -> Option<usize> {
    let starts = (until_us.saturating_sub(BEFORE_US)..until_us).step_by(SECOND_US as usize);
    let mut counts: Vec<usize> = starts.map(|from| count(events_us, from, (from + SECOND_US).min(until_us))).collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied()
}

fn count(events_us: &[u64], from_us: u64, to_us: u64) -> usize {
    let at = |us: u64| events_us.partition_point(|event| *event < us);
    at(to_us) - at(from_us)
}

/// In order.
pub fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pauses_for_five_seconds_is_back_after_five() {
        // One each 10 ms, but none from second 20 to second 25.
        let events: Vec<u64> =
            (0..4000).map(|n| n * 10_000).filter(|at| !(20_000_000..25_000_000).contains(at)).collect();
        let fault = Fault { name: "f", target: "t", from_us: 20_000_000, to_us: 21_000_000, made: true };
        let back = back_s(&events, &fault, 40_000_000).expect("it is back");
        assert!((4.7..=5.1).contains(&back), "{back}");
        assert_eq!(back_s(&events[..2000], &fault, 40_000_000), None, "it never comes back");
    }

    #[test]
    fn a_burst_before_a_fault_does_not_count_as_usual() {
        // One each 10 ms, but none from second 10 to 13, and then all of these at once.
        let late = |n: u64| if (1000..1300).contains(&n) { 13_000_000 + n } else { n * 10_000 };
        let events = sorted((0..4000).map(late));
        let fault = Fault { name: "f", target: "t", from_us: 20_000_000, to_us: 21_000_000, made: true };
        assert_eq!(back_s(&events, &fault, 40_000_000), Some(0.0));
    }

    #[test]
    fn what_never_pauses_is_back_at_once() {
        let events: Vec<u64> = (0..4000).map(|n| n * 10_000).collect();
        let fault = Fault { name: "f", target: "t", from_us: 20_000_000, to_us: 21_000_000, made: true };
        assert_eq!(back_s(&events, &fault, 40_000_000), Some(0.0));
    }
}
