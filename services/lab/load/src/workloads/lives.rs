//! `lives`: whole lives of orders, from the call that creates one to the publication of its last transition.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use comanda_proto::v1::{WatchOrdersRequest, watch_orders_request::Start, watch_orders_response::Event};
use indicatif::ProgressBar;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    clients::{CONNECTIONS, Connections},
    cost::Meter,
    gauges,
    generator::{self, Outcome, Outcomes, Pace, PaceArgs, Until},
    latency::Recorder,
    orders::order,
    report::{Better, Run},
    stage::{Cast, Stage, StageArgs},
    truth::Expected,
    workloads::{begin, conclude, note_calls, observed, pace_text, progress},
};

const WARM_UP: u64 = 5000;
/// Transitions of an order of the workflow `delivery`.
pub const VERSIONS: i64 = 4;

/// Settings of `lives`.
#[derive(Args, Clone, Debug)]
pub struct LivesArgs {
    /// How many orders.
    #[arg(long, default_value_t = 50_000)]
    pub orders: u64,
    #[command(flatten)]
    pace: PaceArgs,
    /// How long an order stays in each status, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub dwell_ms: u64,
    /// Watch all orders meanwhile, over one stream, to time what a watcher sees. Costs processor time of its own.
    #[arg(long)]
    pub watch: bool,
    /// Send a request id with each order.
    #[arg(long)]
    pub request_ids: bool,
    /// Run dispatch and analytics, too, which read every transition.
    #[arg(long)]
    pub all_roles: bool,
}

impl LivesArgs {
    /// The roles that it needs.
    pub fn cast(&self) -> Cast {
        Cast { step_ms: Some(self.dwell_ms), all_roles: self.all_roles, ..Cast::default() }
    }

    fn variant(&self) -> String {
        let watch = if self.watch { ", one watcher of all" } else { "" };
        let ids = if self.request_ids { ", request ids" } else { "" };
        let roles = if self.all_roles { ", all roles" } else { "" };
        format!("dwell {} ms, {}{watch}{ids}{roles}", self.dwell_ms, pace_text(self.pace.pace()))
    }
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &LivesArgs, repeat: u32) -> Result<Run> {
    let mut run = begin("lives", &args.variant(), repeat);
    let bar = progress(&run);
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    stage.start(&args.cast()).await?;
    measure(stage, args, 0, &bar, &mut run).await?;
    bar.finish_and_clear();
    Ok(run)
}

/// Measures on roles that run, beside `preloaded` orders that have ended, and ends the stage.
pub async fn measure(stage: Stage, args: &LivesArgs, preloaded: u64, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    let connections = stage.connect("ordering", CONNECTIONS).await?;

    bar.set_message("warming up");
    let warm_up = WARM_UP.min(args.orders);
    let warm = live(&connections, Pace::Closed { clients: 64 }, warm_up, args.request_ids, None, bar).await;
    gauges::drained(&stage.sql, preloaded + warm.done()).await?;

    let watch = if args.watch { Some(Watch::start(&stage).await?) } else { None };
    let meter = Meter::read(&stage).await?;
    let started = Instant::now();
    let sent = watch.as_ref().map(|watch| watch.seen.clone());
    let lives = async {
        let outcomes = live(&connections, args.pace.pace(), args.orders, args.request_ids, sent, bar).await;
        bar.set_message("waiting for the last deliveries");
        gauges::drained(&stage.sql, preloaded + warm.done() + outcomes.done()).await?;
        Ok((outcomes, started.elapsed()))
    };
    let (outcomes, elapsed) = observed(&stage, run, lives).await?;
    run.figure("lives/s", "1/s", outcomes.done() as f64 / elapsed.as_secs_f64(), Better::Higher);
    note_calls(&outcomes, "orders accepted", run);
    meter.note(&stage, outcomes.done(), run).await?;
    if let Some(watch) = watch {
        watch.finish(outcomes.done(), run).await?;
    }

    bar.set_message("checking");
    let expected = Expected { preloaded, versions: VERSIONS, ..Expected::default() };
    conclude(stage, expected, &[&warm, &outcomes], run).await
}

/// Creates orders at a pace, noting when each was sent.
pub async fn live(
    connections: &Connections,
    pace: Pace,
    orders: u64,
    request_ids: bool,
    seen: Option<Arc<Seen>>,
    bar: &ProgressBar,
) -> Outcomes {
    let connections = connections.clone();
    generator::run(pace, Until::Count(orders), bar, move |n| {
        let (connections, seen, sent) = (connections.clone(), seen.clone(), Instant::now());
        async move {
            let (outcome, order_id) = connections.create(n, order(n, request_ids)).await;
            if let (Outcome::Done, Some(order_id), Some(seen)) = (outcome, order_id, seen) {
                seen.sent(order_id, sent);
            }
            outcome
        }
    })
    .await
}

/// When orders were sent, and when a watcher saw each of their versions.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashMap<String, Times>>);

#[derive(Debug, Default)]
struct Times {
    sent: Option<Instant>,
    /// By version, from 1.
    seen: [Option<Instant>; VERSIONS as usize],
    status: String,
}

impl Seen {
    fn sent(&self, order_id: String, at: Instant) {
        self.0.lock().expect("no holder panics").entry(order_id).or_default().sent = Some(at);
    }

    fn saw(&self, order_id: String, version: i64, status: String) {
        let mut orders = self.0.lock().expect("no holder panics");
        let times = orders.entry(order_id).or_default();
        if let Some(seen) = times.seen.get_mut(version as usize - 1) {
            seen.get_or_insert_with(Instant::now);
            times.status = status;
        }
    }

    fn complete(&self) -> u64 {
        let orders = self.0.lock().expect("no holder panics");
        orders.values().filter(|times| times.seen.iter().all(Option::is_some)).count() as u64
    }
}

/// A watcher of all orders.
pub struct Watch {
    seen: Arc<Seen>,
    reader: JoinHandle<()>,
}

impl Watch {
    /// Begins now.
    pub async fn start(stage: &Stage) -> Result<Self> {
        let connections = stage.connect("notification", 1).await?;
        let request =
            WatchOrdersRequest { start: Some(Start::Now(Default::default())), ..WatchOrdersRequest::default() };
        let mut stream = connections.watches(0).watch_orders(request).await?.into_inner();
        stream.message().await?.context("a watch begins with where it begins")?;
        let seen = Arc::new(Seen::default());
        let kept = seen.clone();
        let reader = tokio::spawn(async move {
            while let Ok(Some(response)) = stream.message().await {
                if let Some(Event::Transition(transition)) = response.event {
                    kept.saw(transition.order_id, transition.version, transition.to_status);
                }
            }
        });
        Ok(Self { seen, reader })
    }

    /// Waits until it has seen all lives, and notes how long everything took.
    pub async fn finish(self, orders: u64, run: &mut Run) -> Result<()> {
        let all =
            crate::stage::within(Duration::from_secs(10), async || (self.seen.complete() >= orders).then_some(()));
        let saw_all = all.await.is_ok();
        self.reader.abort();
        run.checks.push(crate::report::Check {
            name: "the watcher saw every version of every order".into(),
            passed: saw_all,
            detail: format!("{} of {orders}", self.seen.complete()),
        });
        let (first, last) = (Recorder::default(), Recorder::default());
        for times in self.seen.0.lock().expect("no holder panics").values() {
            let Some(sent) = times.sent else { continue };
            times.seen[0].iter().for_each(|seen| first.record(*seen - sent));
            times.seen[VERSIONS as usize - 1].iter().for_each(|seen| last.record(*seen - sent));
        }
        for latency in
            [first.latency("create -> watcher sees version 1"), last.latency("create -> watcher sees delivered")]
        {
            for percentile in [50.0, 99.0] {
                let name = format!("{} p{percentile}", latency.name);
                run.figure(&name, "ms", latency.at(percentile).unwrap_or(f64::NAN), Better::Lower);
            }
            run.latencies.push(latency);
        }
        Ok(())
    }
}
