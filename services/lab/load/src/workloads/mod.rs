//! What can be measured. Each workload is run on a stage of its own and ends with the truth check.

pub mod accept;
pub mod analytics;
pub mod dispatch;
pub mod experiment;
pub mod growth;
pub mod lives;
pub mod mail;
pub mod overload;
pub mod probes;
pub mod timers;
pub mod watch;

use std::{future::Future, sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    environment, gauges,
    generator::{Outcomes, Pace, Until},
    report::{Better, Check, Run, Series},
    stage::Stage,
    truth::{self, Expected},
};

/// For workloads in which no order moves by itself: an hour for each step, in milliseconds.
pub const REST_MS: u64 = 3_600_000;

/// A run that has begun.
pub fn begin(workload: &str, variant: &str, repeat: u32) -> Run {
    let start_time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    Run { workload: workload.into(), variant: variant.into(), repeat, start_time, ..Run::default() }
}

/// A line that moves while something goes on; nothing where nobody looks.
pub fn progress(run: &Run) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {prefix}: {msg}").expect("a template that is valid");
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.set_prefix(format!("{} ({}) #{}", run.workload, run.variant, run.repeat));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Waits until everything is told, asks the truth, and ends the stage.
pub async fn conclude(stage: Stage, mut expected: Expected, outcomes: &[&Outcomes], run: &mut Run) -> Result<()> {
    expected.accepted = outcomes.iter().map(|outcomes| outcomes.done()).sum();
    expected.unknown = outcomes.iter().map(|outcomes| outcomes.tally.failed.load(Relaxed)).sum();
    run.checks.push(Check {
        name: "calls that failed".into(),
        passed: expected.unknown == 0,
        detail: expected.unknown.to_string(),
    });
    run.checks.extend(truth::check(&stage, expected).await?);
    stage.clear().await
}

/// What calls came to.
pub fn note_calls(outcomes: &Outcomes, name: &str, run: &mut Run) {
    let latency = outcomes.tally.latency.latency(name);
    run.figure(&format!("{name}/s"), "1/s", outcomes.per_second(), Better::Higher);
    for (percentile, better) in [(50.0, Better::Lower), (99.0, Better::Lower)] {
        run.figure(&format!("{name} p{percentile}"), "ms", latency.at(percentile).unwrap_or(f64::NAN), better);
    }
    let refused = outcomes.tally.refused.load(Relaxed);
    if refused > 0 {
        run.figure("refused", "", refused as f64, Better::Neither);
        run.latencies.push(outcomes.tally.refusal.latency("refusals"));
    }
    run.latencies.push(latency);
    run.series.push(Series { name: name.into(), ..outcomes.rate.clone() });
}

/// Runs `work` while the queues are sampled and the machine's theft is watched.
pub async fn observed<T>(stage: &Stage, run: &mut Run, work: impl Future<Output = Result<T>>) -> Result<T> {
    let before = environment::stolen()?;
    let mut series = Vec::new();
    let result = tokio::select! {
        result = work => result?,
        () = gauges::sample(&stage.sql, &mut series) => unreachable!("it samples for ever"),
    };
    run.series.extend(series.into_iter().filter(|series| series.points.iter().any(|(_, value)| *value > 0.0)));
    let after = environment::stolen()?;
    let stolen = (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64;
    run.checks.push(Check {
        name: "the machine was ours (stolen time at most 5 %)".into(),
        passed: stolen <= 0.05,
        detail: format!("{:.1} %", stolen * 100.0),
    });
    Ok(result)
}

/// In words.
pub fn pace_text(pace: Pace) -> String {
    match pace {
        Pace::Closed { clients } => format!("{clients} closed-loop clients"),
        Pace::Open { rate } => format!("{rate}/s open loop"),
    }
}

/// A number of calls that lasts about as long as asked for.
pub fn until(orders: Option<u64>, seconds: u64) -> Until {
    orders.map_or(Until::Elapsed(Duration::from_secs(seconds)), Until::Count)
}
