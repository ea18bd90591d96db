//! Calls at a pace. Open loop: at a constant rate, whatever the answers do, each call timed from when it should have been sent
//! (wrk2's rule, <https://github.com/giltene/wrk2>), so that a stall is felt by every call it held up. Closed loop: a number of clients,
//! each waiting for its answer before it calls again.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::Args;
use indicatif::ProgressBar;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{latency::Recorder, report::Series};

/// Calls that may be under way at once in an open loop. Beyond it calls wait here, and their time goes on.
const MOST_OPEN: usize = 20_000;

/// How often the rate is noted.
const SAMPLE: Duration = Duration::from_millis(500);

/// How calls follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many clients, each with one call at a time.
    Closed {
        /// Clients.
        clients: usize,
    },
    /// So many calls a second.
    Open {
        /// Calls a second.
        rate: f64,
    },
}

/// The pace, as it is asked for.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct PaceArgs {
    /// Closed loop: so many clients, each waiting for its answer before it creates the next order.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Open loop instead: so many orders a second, timed from when each should have been sent.
    #[arg(long, conflicts_with = "clients")]
    rate: Option<f64>,
}

impl PaceArgs {
    /// What was asked for.
    pub fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Closed { clients: self.clients }, |rate| Pace::Open { rate })
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many calls.
    Count(u64),
    /// After so long; calls under way are awaited.
    Elapsed(Duration),
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was for.
    Done,
    /// It was turned away since there is too much to do, and did nothing.
    Refused,
    /// Anything else.
    Failed,
}

/// Counts what comes of calls.
#[derive(Debug)]
pub struct Tally {
    started: Instant,
    /// Calls that did what they were for.
    pub done: AtomicU64,
    /// Calls that were turned away.
    pub refused: AtomicU64,
    /// Calls that failed.
    pub failed: AtomicU64,
    /// Of those that were done, from the intended start.
    pub latency: Recorder,
    /// Of those that were refused, from when they were really sent.
    pub refusal: Recorder,
}

impl Tally {
    fn new() -> Self {
        let (done, refused, failed) = Default::default();
        let (latency, refusal) = Default::default();
        Self { started: Instant::now(), done, refused, failed, latency, refusal }
    }

    fn count(&self, outcome: Outcome, intended: Instant, sent: Instant) {
        match outcome {
            Outcome::Done => {
                self.latency.record(intended.elapsed());
                self.done.fetch_add(1, Relaxed);
            }
            Outcome::Refused => {
                self.refusal.record(sent.elapsed());
                self.refused.fetch_add(1, Relaxed);
            }
            Outcome::Failed => _ = self.failed.fetch_add(1, Relaxed),
        }
    }
}

/// What [`run`] found.
#[derive(Debug)]
pub struct Outcomes {
    /// The counts.
    pub tally: Arc<Tally>,
    /// From the first call to the last answer.
    pub elapsed: Duration,
    /// Calls done a second, over time.
    pub rate: Series,
}

impl Outcomes {
    /// Calls that did what they were for.
    pub fn done(&self) -> u64 {
        self.tally.done.load(Relaxed)
    }

    /// The same, a second.
    pub fn per_second(&self) -> f64 {
        self.done() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Calls `call` with 0, 1, 2 ... at a pace.
pub async fn run<C, F>(pace: Pace, until: Until, progress: &ProgressBar, call: C) -> Outcomes
where
    C: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let (tally, call, mut points) = (Arc::new(Tally::new()), Arc::new(call), Vec::new());
    let calls = async {
        match pace {
            Pace::Closed { clients } => closed(clients, until, &tally, &call).await,
            Pace::Open { rate } => open(rate, until, &tally, &call).await,
        }
    };
    tokio::select! {
        () = calls => {}
        () = sample(&tally, progress, &mut points) => {}
    }
    let elapsed = tally.started.elapsed();
    Outcomes { tally, elapsed, rate: Series { name: "calls done".into(), unit: "1/s".into(), points } }
}

async fn closed<C, F>(clients: usize, until: Until, tally: &Arc<Tally>, call: &Arc<C>)
where
    C: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let (next, started) = (Arc::new(AtomicU64::new(0)), tally.started);
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (next, tally, call) = (next.clone(), tally.clone(), call.clone());
        tasks.spawn(async move {
            loop {
                let (n, sent) = (next.fetch_add(1, Relaxed), Instant::now());
                if until.is_over(n, started.elapsed()) {
                    break;
                }
                tally.count(call(n).await, sent, sent);
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn open<C, F>(rate: f64, until: Until, tally: &Arc<Tally>, call: &Arc<C>)
where
    C: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MOST_OPEN));
    let mut tasks = JoinSet::new();
    for n in 0.. {
        let offset = Duration::from_secs_f64(n as f64 / rate);
        if until.is_over(n, offset) {
            break;
        }
        let intended = tally.started + offset;
        if intended > Instant::now() {
            sleep_until(intended).await;
            while tasks.try_join_next().is_some() {}
        }
        let permit = room.clone().acquire_owned().await.expect("never closed");
        let (tally, call) = (tally.clone(), call.clone());
        tasks.spawn(async move {
            let sent = Instant::now();
            tally.count(call(n).await, intended, sent);
            drop(permit);
        });
    }
    while tasks.join_next().await.is_some() {}
}

impl Until {
    fn is_over(self, calls: u64, elapsed: Duration) -> bool {
        match self {
            Self::Count(count) => calls >= count,
            Self::Elapsed(most) => elapsed >= most,
        }
    }
}

/// Notes the rate of each half second, for ever.
async fn sample(tally: &Tally, progress: &ProgressBar, points: &mut Vec<(f64, f64)>) {
    let (mut before, mut at) = (0, tally.started);
    loop {
        sleep_until(at + SAMPLE).await;
        let (done, now) = (tally.done.load(Relaxed), Instant::now());
        let rate = (done - before) as f64 / (now - at).as_secs_f64();
        points.push(((now - tally.started).as_secs_f64(), rate));
        progress.set_message(format!("{done} done, {rate:.0}/s"));
        (before, at) = (done, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_keeps_its_pace_and_times_from_the_intended_start() {
        // The server stalls for a second: the calls that should have been sent meanwhile waited for it too.
        let gate = Arc::new(Semaphore::new(1));
        let outcomes = run(Pace::Open { rate: 10.0 }, Until::Count(20), &ProgressBar::hidden(), move |n| {
            let gate = gate.clone();
            async move {
                let _turn = gate.acquire().await;
                if n == 0 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Outcome::Done
            }
        })
        .await;
        let latency = outcomes.tally.latency.latency("calls");
        assert_eq!((outcomes.done(), latency.count), (20, 20));
        let at = |percentile| latency.at(percentile).expect("a stored percentile");
        assert!(at(25.0) < 10.0, "what came after the stall: {latency:?}");
        assert!((400.0..600.0).contains(&at(75.0)) && (700.0..900.0).contains(&at(90.0)), "{latency:?}");
        assert!((1.9..2.2).contains(&outcomes.elapsed.as_secs_f64()), "{:?}", outcomes.elapsed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_has_one_call_a_client() {
        let outcomes = run(
            Pace::Closed { clients: 4 },
            Until::Elapsed(Duration::from_secs(10)),
            &ProgressBar::hidden(),
            |n| async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if n % 2 == 0 { Outcome::Done } else { Outcome::Refused }
            },
        )
        .await;
        assert_eq!((outcomes.done(), outcomes.tally.refused.load(Relaxed)), (20, 20));
        assert!((19..=20).contains(&outcomes.rate.points.len()), "a point each half second: {:?}", outcomes.rate);
    }
}
