//! Scenarios of random faults.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::scenario::{Least, Scenario};
use crate::{
    cluster::Shape,
    nemesis::{Ground, Kind, plan},
    workload,
};

/// Of a process of the system under this little load.
const MOST_RSS_BYTES: u64 = 512 * 1024 * 1024;
/// So long may nothing change before a run is called stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Few, so that each has much traffic.
const PARTITIONS: i32 = 6;

/// What may be chosen of a run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Decides which faults happen when, and what clients do; the same seed does the same again [default: a random one].
    #[arg(long)]
    pub seed: Option<u64>,
    /// So many runs, each with the next seed, until one is not passed. With --results those that the page has as passed, of the
    /// same system, are left out, so that the same command goes on where another ended.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub runs: u64,
    /// How long clients and faults last [default: 3 (quick), 45 (random)]
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Orders that clients ask for in a second.
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// Kafka brokers: 1 or 3 [default: 1 (quick), 3 (random)]
    #[arg(long, value_parser = ["1", "3"])]
    pub brokers: Option<String>,
    /// Processes of each role, from 1 to 3.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3))]
    pub replicas: u64,
    /// How long an order stays in each status, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..))]
    pub step_ms: u64,
    /// Only faults whose names contain this, such as `postgres` or `links cut`; `none` for none at all.
    #[arg(long)]
    pub only: Option<String>,
    /// The program to attack [default: `comanda` beside this program]
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Keep history, logs and data, whatever comes out. They are kept anyway where something is wrong.
    #[arg(long)]
    pub keep: bool,
    /// Where reports go, in a folder for each run.
    #[arg(long, default_value = "target/trials")]
    pub output: PathBuf,
    /// A file of totals to which the run is added.
    #[arg(long)]
    pub results: Option<PathBuf>,
}

impl Options {
    /// Of each run.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        // Short enough to be typed.
        let first = self.seed.unwrap_or_else(|| rand::random_range(1..1_000_000_000));
        first..first.saturating_add(self.runs)
    }
}

/// Minutes of faults on a small cluster: a check of every change.
pub fn quick(options: &Options, seed: u64) -> Result<Scenario> {
    scenario("quick", options, seed, 3.0, 1, Least { orders: 5_000, faults: 20, kinds: 10, moves: 500, shown: 20_000 })
}

/// The long one.
pub fn random(options: &Options, seed: u64) -> Result<Scenario> {
    scenario(
        "random",
        options,
        seed,
        45.0,
        3,
        Least { orders: 100_000, faults: 200, kinds: 20, moves: 10_000, shown: 400_000 },
    )
}

fn scenario(name: &str, options: &Options, seed: u64, minutes: f64, brokers: usize, least: Least) -> Result<Scenario> {
    let minutes = options.minutes.unwrap_or(minutes);
    ensure!(minutes > 0.0 && minutes < 100_000.0, "--minutes must lie above 0");
    ensure!(options.rate > 0.0, "--rate must lie above 0");
    let brokers = options.brokers.as_deref().map_or(brokers, |brokers| if brokers == "3" { 3 } else { 1 });
    let ground = Ground { replicas: options.replicas as usize, brokers };
    let mut random = StdRng::seed_from_u64(seed);
    let length = Duration::from_secs_f64(minutes * 60.0);
    let kinds = kinds(options, brokers)?;
    let faults = plan(random.random(), &ground, &kinds, length.as_millis() as u64);
    // Whoever asks for a few kinds of fault gets a verdict on those.
    let least =
        Least { faults: least.faults.min(faults.len() as u64), kinds: least.kinds.min(kinds.len() as u64), ..least };
    let shape = Shape {
        brokers,
        replicas: ground.replicas,
        partitions: PARTITIONS,
        step_ms: options.step_ms,
        binary: binary(options.binary.as_deref())?,
        seed: random.random(),
        settings: Vec::new(),
    };
    let workload = workload::Settings { orders_per_second: options.rate, ..workload::Settings::default() };
    Ok(Scenario {
        name: name.into(),
        seed,
        shape,
        workload,
        faults,
        length,
        least,
        drain: Duration::from_secs(60),
        patience: PATIENCE,
        most_rss_bytes: MOST_RSS_BYTES,
        replay: replay(name, options, seed, minutes, brokers),
    })
}

fn kinds(options: &Options, brokers: usize) -> Result<Vec<Kind>> {
    let mut kinds = Kind::all(brokers);
    let Some(only) = &options.only else { return Ok(kinds) };
    if only == "none" {
        return Ok(Vec::new());
    }
    // What no run does by itself may be asked for.
    kinds.push(Kind::TopicsLost);
    kinds.retain(|kind| kind.name().contains(only.as_str()));
    let names = || Kind::all(brokers).into_iter().map(Kind::name).collect::<Vec<_>>().join("\n  ");
    ensure!(!kinds.is_empty(), "no fault's name contains {only:?}; there are:\n  {}\n  topics lost", names());
    Ok(kinds)
}

/// The program to attack: what was named, or the one beside this program.
pub fn binary(named: Option<&Path>) -> Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("comanda"));
    let path = named.map(Path::to_owned).or_else(beside).context("name the program to attack with --binary")?;
    let found = path.canonicalize();
    found.with_context(|| {
        format!(
            "there is no {}; build it with `cargo build --release -p comanda`, or name it with --binary",
            path.display()
        )
    })
}

fn replay(name: &str, options: &Options, seed: u64, minutes: f64, brokers: usize) -> String {
    let Options { rate, replicas, step_ms, only, .. } = options;
    let only = only.as_ref().map_or_else(String::new, |only| format!(" --only '{only}'"));
    format!(
        "scripts/trials {name} --seed {seed} --minutes {minutes} --rate {rate} --brokers {brokers} --replicas {replicas} --step-ms {step_ms}{only}"
    )
}
