//! C12: no panic, no end that nobody wanted, no code that must not be, no growth.

use std::collections::{BTreeMap, HashMap};

use crate::{
    case::Case,
    codes::{Meaning, meaning},
    findings::Findings,
    history::{Answer, Op, What},
};

/// Signals by which a program ends itself: illegal instruction, trap, abort, bus error, arithmetic, segment.
const CRASHES: &[i32] = &[4, 5, 6, 7, 8, 11];
/// What may come and go without being a leak.
const SLACK: u64 = 64;

/// Looks at processes and codes.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for line in case.lines {
        match &line.what {
            What::Alarm { process, line: text } => found.system(Some(line.at_us), format!("{process} says {text:?}")),
            What::Exited { process, pid, code, signal, wanted } => {
                let crashed = signal.is_some_and(|signal| CRASHES.contains(&signal)) || *code == Some(101);
                if !wanted || crashed {
                    let evidence =
                        format!("{process} ({pid}) ended with code {code:?}, signal {signal:?}; wanted: {wanted}");
                    found.system(Some(line.at_us), evidence);
                }
            }
            _ => {}
        }
    }
    codes(case, found);
    sizes(case, found);
}

// --- codes ---

fn codes(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut sent: HashMap<u64, (&Op, &str)> = HashMap::new();
    for line in case.lines {
        let (what, code, reason) = match &line.what {
            What::Invoke { call, op, replica, .. } => {
                sent.insert(*call, (op, replica));
                continue;
            }
            What::Return { call, code, reason, answer } => {
                let Some((op, replica)) = sent.remove(call) else { continue };
                if let Some(Answer::Batch { results }) = answer {
                    results.iter().for_each(|result| row_code(found, line.at_us, replica, &result.code));
                }
                // Clients whose keys are good must never see it.
                if matches!(op, Op::Foreign { .. }) && code == "UNAUTHENTICATED" {
                    continue;
                }
                if let Op::Bad { what, is_protobuf } = op {
                    bad(found, line.at_us, what, *is_protobuf, code);
                    if code == "INTERNAL" && !is_protobuf {
                        continue;
                    }
                }
                (format!("a call to {replica}"), code, reason)
            }
            What::StreamEnd { stream, code, reason } if code != "CLIENT" => (format!("stream {stream}"), code, reason),
            _ => continue,
        };
        if forbidden(code) {
            found.system(Some(line.at_us), format!("{what} ended with {code} ({reason:?})"));
        }
    }
}

/// What a client's own library makes of a cut connection is recorded as UNAVAILABLE, so any such code comes from a service.
fn forbidden(code: &str) -> bool {
    meaning(code) == Meaning::Forbidden || code == "INTERNAL"
}

fn row_code(found: &mut Findings<'_, '_>, at_us: u64, replica: &str, code: &str) {
    if forbidden(code) {
        found.system(Some(at_us), format!("a row of a batch at {replica} ended with {code}"));
    }
}

/// What must be refused was not.
fn bad(found: &mut Findings<'_, '_>, at_us: u64, what: &str, is_protobuf: bool, code: &str) {
    if code == "OK" {
        found.system(Some(at_us), format!("{what} was accepted (protobuf: {is_protobuf})"));
    }
}

// --- sizes ---

fn sizes(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let most = case.run.map_or(u64::MAX, |run| run.most_rss_bytes);
    let mut samples: BTreeMap<&str, Vec<(u64, u64, u64, u64)>> = BTreeMap::new();
    for line in case.lines {
        if let What::Sample { process, rss_bytes, threads, files } = &line.what {
            samples.entry(process).or_default().push((line.at_us, *rss_bytes, *threads, *files));
        }
    }
    for (process, samples) in samples {
        let largest = samples.iter().max_by_key(|(_, rss_bytes, ..)| *rss_bytes);
        if let Some((at_us, rss_bytes, ..)) = largest.filter(|(_, rss_bytes, ..)| *rss_bytes > most) {
            found.system(Some(*at_us), format!("{process} took {rss_bytes} bytes, where {most} are allowed"));
        }
        for (what, counts) in [
            ("threads", samples.iter().map(|sample| sample.2).collect::<Vec<_>>()),
            ("files", samples.iter().map(|sample| sample.3).collect()),
        ] {
            if let Some((least, most)) = growth(&counts) {
                found.system(
                    None,
                    format!("{process} grows: never under {least} {what} at the end, at most {most} at first"),
                );
            }
        }
    }
}

/// The least of the last third and the most of the first, where the one leaves the other far behind.
fn growth(counts: &[u64]) -> Option<(u64, u64)> {
    let third = counts.len() / 3;
    let most = counts[..third].iter().max()?;
    let least = counts[counts.len() - third..].iter().min()?;
    (*least > 2 * most + SLACK).then_some((*least, *most))
}
