//! What happened in a city, counted.

use std::{collections::BTreeMap, fmt, sync::Mutex, time::Duration};

use anyhow::{Result, bail};
use serde::Serialize;
use tokio::sync::watch;

use crate::{latency::Recorder, report::Latency};

/// Before a ride has a status.
pub(super) const ASKED: &str = "asked for";

/// Counts, from everybody.
#[derive(Debug)]
pub(super) struct Book {
    rides: u64,
    /// How many rides are in each status now, in the order in which the statuses appeared.
    statuses: Mutex<Vec<(String, u64)>>,
    counts: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<BTreeMap<String, u64>>,
    online: watch::Sender<(u64, Option<String>)>,
    /// From the call that asks to the courier that is known.
    pub confirmed: Recorder,
    /// From asking to being picked up.
    pub picked_up: Recorder,
}

/// What became of a city.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Rides by the status that they have.
    pub rides: Vec<(String, u64)>,
    /// What else was counted.
    pub counts: BTreeMap<String, u64>,
    /// How long things took.
    pub latencies: Vec<Latency>,
    /// What must not be, and how often.
    pub wrong: BTreeMap<String, u64>,
}

impl Book {
    pub fn new(rides: u64) -> Self {
        Self {
            rides,
            statuses: Mutex::default(),
            counts: Mutex::default(),
            wrong: Mutex::default(),
            online: watch::Sender::new((0, None)),
            confirmed: Recorder::default(),
            picked_up: Recorder::default(),
        }
    }

    /// A ride went from one status to another; empty before the first.
    pub fn moved(&self, from: &str, to: &str) {
        let mut statuses = self.statuses.lock().expect("no holder panics");
        if let Some((_, count)) = statuses.iter_mut().find(|(status, _)| status == from) {
            *count -= 1;
        }
        match statuses.iter_mut().find(|(status, _)| status == to) {
            Some((_, count)) => *count += 1,
            None => statuses.push((to.to_owned(), 1)),
        }
    }

    /// Something happened.
    pub fn count(&self, what: &str) {
        *self.counts.lock().expect("no holder panics").entry(what.to_owned()).or_default() += 1;
    }

    /// Something happened that must not.
    pub fn wrong(&self, what: impl Into<String>) {
        *self.wrong.lock().expect("no holder panics").entry(what.into()).or_default() += 1;
    }

    /// A courier is online, or cannot be, and why.
    pub fn is_online(&self, result: Result<(), String>) {
        self.online.send_modify(|(count, problem)| match result {
            Ok(()) => *count += 1,
            Err(error) => *problem = Some(error),
        });
    }

    /// Waits until so many couriers are online.
    pub async fn online(&self, couriers: u64) -> Result<()> {
        let mut online = self.online.subscribe();
        let state = online.wait_for(|(count, problem)| *count >= couriers || problem.is_some()).await?;
        match &state.1 {
            Some(problem) => bail!("no courier can go online: {problem}"),
            None => Ok(()),
        }
    }

    /// In one line.
    pub fn progress(&self) -> String {
        let statuses = self.statuses.lock().expect("no holder panics");
        let asked: u64 = statuses.iter().map(|(_, count)| count).sum();
        let parts: Vec<String> = statuses
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(status, count)| format!("{status} {count}"))
            .collect();
        format!(
            "{asked} of {} rides: {}",
            self.rides,
            if parts.is_empty() { "none yet".into() } else { parts.join(", ") }
        )
    }

    pub fn summary(&self) -> Summary {
        let statuses = self.statuses.lock().expect("no holder panics");
        Summary {
            rides: statuses.iter().filter(|(_, count)| *count > 0).cloned().collect(),
            counts: self.counts.lock().expect("no holder panics").clone(),
            latencies: vec![
                self.confirmed.latency("asked for -> courier known"),
                self.picked_up.latency("asked for -> picked up"),
            ],
            wrong: self.wrong.lock().expect("no holder panics").clone(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rides")?;
        self.rides.iter().try_for_each(|(status, count)| line(f, status, count))?;
        writeln!(f, "couriers")?;
        self.counts.iter().try_for_each(|(what, count)| line(f, what, count))?;
        for latency in &self.latencies {
            let at = |percentile| {
                latency.at(percentile).map_or("-".into(), |ms| format!("{:.1?}", Duration::from_secs_f64(ms / 1000.0)))
            };
            writeln!(f, "{}: p50 {}, p99 {}", latency.name, at(50.0), at(99.0))?;
        }
        if !self.wrong.is_empty() {
            writeln!(f, "WRONG")?;
        }
        self.wrong.iter().try_for_each(|(what, count)| line(f, what, count))
    }
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, count: &u64) -> fmt::Result {
    writeln!(f, "  {what:<44} {count:>8}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ride_is_in_one_status_at_a_time() {
        let book = Book::new(2);
        book.moved("", "requested");
        book.moved("", "requested");
        book.moved("requested", "confirmed");
        assert_eq!(book.progress(), "2 of 2 rides: requested 1, confirmed 1");
        book.moved("requested", "confirmed");
        assert_eq!(book.summary().rides, [("confirmed".to_owned(), 2)]);
    }

    #[tokio::test]
    async fn couriers_that_cannot_go_online_end_the_wait() {
        let book = Book::new(1);
        book.is_online(Ok(()));
        book.online(1).await.expect("one is enough");
        book.is_online(Err("not served".into()));
        assert!(book.online(9).await.expect_err("never nine").to_string().contains("not served"));
    }

    #[test]
    fn what_is_wrong_is_printed() {
        let book = Book::new(1);
        assert!(!book.summary().to_string().contains("WRONG"));
        book.wrong("a courier was shown more jobs than it takes");
        assert!(book.summary().to_string().contains("WRONG\n  a courier was shown more jobs"));
    }
}
