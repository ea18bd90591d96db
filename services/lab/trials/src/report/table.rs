//! A run as a table for people.

use std::{fmt::Write, iter};

use comanda_checker::{Outcome, Verdict, history::Run};

/// The whole report as text.
pub fn table(run: &Run, verdict: &Verdict, replay: &str) -> String {
    let figures = &verdict.figures;
    let mut text = String::new();
    let mut row = |name: &str, value: String| _ = writeln!(text, "{name:<34} {value}");
    row("run", format!("{} seed {} of {}", run.profile, run.seed, run.commit));
    row("lasted", format!("{} s, came to rest in {}", figures.run_ms / 1000, seconds(figures.drain_ms)));
    row("orders", format!("{} ({} accepted, {} answered again)", figures.orders, figures.accepted, figures.replayed));
    row("transitions", figures.transitions.to_string());
    row("calls with unknown outcome", figures.unknown.to_string());
    row("refused", list(&figures.refused));
    row(
        "watches",
        format!("{} streams, {} resumed, {} events", figures.streams, figures.resumes, figures.watch_events),
    );
    row(
        "repeated on topics",
        format!("{} orders, {} transitions", figures.repeated_orders, figures.repeated_transitions),
    );
    let (mails, repeated, unsure, dead) =
        (figures.mails, figures.repeated_mails, figures.ambiguous_mails, figures.dead_mails);
    row("mails", format!("{mails} ({repeated} repeated, {unsure} left without an answer, {dead} given up)"));
    let timers = &figures.timers;
    let (p50, p99, max) = (timers.p50_us / 1000, timers.p99_us / 1000, timers.max_us / 1000);
    row("timers late", format!("p50 {p50} ms, p99 {p99} ms, max {max} ms of {}", timers.count));
    row("dead letters", figures.dead_letters.to_string());
    row("repaired", list(&figures.counters));
    let faults: u64 = figures.faults.values().sum();
    row("faults", format!("{faults} of {} kinds", figures.faults.len()));
    for (kind, count) in &figures.faults {
        let recovery = figures.recovery.get(kind).filter(|recovery| recovery.recovered > 0);
        let recovery = recovery.map_or_else(String::new, |recovery| {
            format!(", back after p50 {} ms, max {} ms", recovery.p50_ms, recovery.max_ms)
        });
        row(&format!("  {kind}"), format!("{count}{recovery}"));
    }
    row("violations", verdict.counts.values().sum::<u64>().to_string());
    for (invariant, count) in &verdict.counts {
        row(&format!("  {invariant}"), count.to_string());
    }
    verdict.doubts.iter().for_each(|doubt| row("doubt", doubt.clone()));
    row("verdict", outcome(verdict).into());
    row("again", replay.into());
    text
}

/// The verdict in a word.
pub fn outcome(verdict: &Verdict) -> &'static str {
    match verdict.outcome() {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Inconclusive => "inconclusive",
    }
}

fn seconds(ms: Option<u64>) -> String {
    ms.map_or("no time at all: it did not".into(), |ms| format!("{:.1} s", ms as f64 / 1000.0))
}

fn list<V: ToString>(counts: &std::collections::BTreeMap<String, V>) -> String {
    let all: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {}", count.to_string())).collect();
    if all.is_empty() { iter::once("none").collect() } else { all.join(", ") }
}
