//! The same orders over gRPC and over HTTP, one after the other on one stage: how long until all are delivered, and what that costs.

use anyhow::Result;
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{ExperimentArgs, delivered_since, http::System, name, products::Products};
use crate::{
    clients::{CONNECTIONS, Connections},
    cost::{GENERATOR, Meter},
    gauges,
    generator::{self, Outcomes, Until},
    report::{Better, Run},
    stage::{Cast, Stage, StageArgs},
    truth::Expected,
    workloads::{conclude, lives::VERSIONS, observed},
};

/// Orders of each way before anything counts: the first ones find everything cold.
const WARM_UP: u64 = 200;

/// How orders come.
#[derive(Clone, Debug)]
enum Way {
    Grpc(Connections),
    Http(System),
}

/// What the lines of the picture are called.
pub(super) const LINES: [&str; 2] = ["over gRPC", "over HTTP"];

impl Way {
    fn line(&self) -> &'static str {
        match self {
            Self::Grpc(_) => LINES[0],
            Self::Http(_) => LINES[1],
        }
    }

    async fn send(&self, args: &ExperimentArgs, products: &Products, orders: u64, bar: &ProgressBar) -> Outcomes {
        match self {
            Self::Http(system) => system.send(args, products, orders, bar).await,
            Self::Grpc(connections) => {
                let (connections, products) = (connections.clone(), products.clone());
                generator::run(args.pace(), Until::Count(orders), bar, move |n| {
                    let (connections, order) = (connections.clone(), products.request(n));
                    async move { connections.create(n, order).await.0 }
                })
                .await
            }
        }
    }
}

/// Runs each count of orders both ways.
pub(super) async fn measure(
    stage_args: &StageArgs,
    args: &ExperimentArgs,
    products: &Products,
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<()> {
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    stage.start(&Cast { step_ms: Some(0), gateway: true, ..Cast::default() }).await?;
    let connections = stage.connect("ordering", CONNECTIONS).await?;
    let ways = [Way::Grpc(connections), Way::Http(System::at(&format!("http://{}", stage.address("gateway")?))?)];
    let mut found = Run::default();
    let both = async {
        let mut all = Vec::new();
        for way in &ways {
            all.push(way.send(args, products, WARM_UP, bar).await);
        }
        gauges::drained(&stage.sql, done(&all)).await?;
        for &orders in &args.orders {
            for way in &ways {
                let outcomes = once(&stage, args, products, (orders, way), done(&all), bar, &mut found).await?;
                all.push(outcomes);
            }
        }
        Ok(all)
    };
    let outcomes = observed(&stage, run, both).await?;
    run.figures.append(&mut found.figures);
    run.latencies.append(&mut found.latencies);
    run.checks.append(&mut found.checks);
    let expected = Expected { versions: VERSIONS, ..Expected::default() };
    conclude(stage, expected, &outcomes.iter().collect::<Vec<_>>(), run).await
}

fn done(outcomes: &[Outcomes]) -> u64 {
    outcomes.iter().map(Outcomes::done).sum()
}

/// One count of orders one way, beside `before` orders that have ended.
async fn once(
    stage: &Stage,
    args: &ExperimentArgs,
    products: &Products,
    (orders, way): (u64, &Way),
    before: u64,
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<Outcomes> {
    let (meter, sending, line) = (Meter::read(stage).await?, way.send(args, products, orders, bar), way.line());
    let began = Instant::now();
    let (outcomes, seconds) = delivered_since(stage, before, sending).await?;
    let mut spent = Run::default();
    meter.spent(stage, &mut spent).await?;
    run.figure(&name(orders, line), "s", seconds, Better::Lower);
    run.figure(&format!("{orders} orders {line}: answered OK"), "", outcomes.done() as f64, Better::Higher);
    let cpu = |counts: fn(&str) -> bool| {
        let of = spent.costs.iter().filter(|cost| counts(&cost.process)).map(|cost| cost.cpu_seconds).sum::<f64>();
        of * 1000.0 / orders as f64
    };
    let (all, own) = (cpu(|process| process != GENERATOR), cpu(|process| process == "gateway"));
    run.figure(&format!("{orders} orders {line}: CPU of all servers per order"), "ms", all, Better::Lower);
    run.figure(&format!("{orders} orders {line}: CPU of the gateway per order"), "ms", own, Better::Lower);
    run.timing(outcomes.tally.latency.latency(&format!("{orders} orders {line}: call")));
    if let Way::Http(system) = way {
        let wanted = before + outcomes.done();
        let (rows, seen) = system.ended(args, wanted).await?;
        run.check("GET /orders shows all as ended", rows.ended == wanted, format!("{} of {wanted}", rows.ended));
        let seen = (seen - began).as_secs_f64();
        run.figure(&format!("{orders} orders {line}: until GET /orders showed all"), "s", seen, Better::Lower);
    }
    Ok(outcomes)
}
