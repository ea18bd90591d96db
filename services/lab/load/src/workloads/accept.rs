//! `accept`: how many orders a second are taken, and how long each takes. What happens to them later goes on meanwhile, up to the
//! first transition; none moves further, however long it takes.

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;

use crate::{
    clients::{CONNECTIONS, Connections},
    cost::Meter,
    gauges,
    generator::{self, Outcomes, Pace, PaceArgs, Until},
    http::Gateway,
    orders::order,
    report::Run,
    stage::{Cast, Stage, StageArgs},
    truth::Expected,
    workloads::{REST_MS, begin, conclude, note_calls, observed, pace_text, progress},
};

/// Orders that are created before anything counts.
const WARM_UP: u64 = 5000;

/// Settings of `accept`.
#[derive(Args, Clone, Debug)]
pub struct AcceptArgs {
    #[command(flatten)]
    pace: PaceArgs,
    /// How long.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Send a request id with each order, as a client does that may repeat its call.
    #[arg(long)]
    pub request_ids: bool,
    /// Over HTTP, by POST /v1/orders at a gateway.
    #[arg(long)]
    pub http: bool,
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &AcceptArgs, repeat: u32) -> Result<Run> {
    let ids = if args.request_ids { ", request ids" } else { "" };
    let http = if args.http { ", over HTTP" } else { "" };
    let mut run = begin("accept", &format!("{}{ids}{http}", pace_text(args.pace.pace())), repeat);
    let bar = progress(&run);
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    stage.start(&Cast { step_ms: Some(REST_MS), gateway: args.http, ..Cast::default() }).await?;
    let to = if args.http {
        To::Http(Gateway::at(stage.address("gateway")?)?)
    } else {
        To::Grpc(stage.connect("ordering", CONNECTIONS).await?)
    };

    bar.set_message("warming up");
    let warm = create(&to, Pace::Closed { clients: 16 }, Until::Count(WARM_UP), args.request_ids, &bar).await;
    let meter = Meter::read(&stage).await?;
    let until = Until::Elapsed(std::time::Duration::from_secs(args.seconds));
    let calls = async { Ok(create(&to, args.pace.pace(), until, args.request_ids, &bar).await) };
    let outcomes = observed(&stage, &mut run, calls).await?;
    note_calls(&outcomes, "orders accepted", &mut run);
    bar.set_message("waiting until everything is told");
    gauges::told(&stage.sql, warm.done() + outcomes.done()).await?;
    meter.note(&stage, outcomes.done(), &mut run).await?;

    bar.set_message("checking");
    let expected = Expected { versions: 1, ..Expected::default() };
    conclude(stage, expected, &[&warm, &outcomes], &mut run).await?;
    bar.finish_and_clear();
    Ok(run)
}

/// Where orders are sent.
#[derive(Clone, Debug)]
pub enum To {
    /// Ordering.
    Grpc(Connections),
    /// A gateway.
    Http(Gateway),
}

/// Creates orders at a pace.
pub async fn create(to: &To, pace: Pace, until: Until, request_ids: bool, bar: &ProgressBar) -> Outcomes {
    let to = to.clone();
    generator::run(pace, until, bar, move |n| {
        let (to, order) = (to.clone(), order(n, request_ids));
        async move {
            match to {
                To::Grpc(connections) => connections.create(n, order).await.0,
                To::Http(gateway) => gateway.create(order).await,
            }
        }
    })
    .await
}
