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
    cluster::{Role, Shape},
    nemesis::{Ground, Kind, plan},
    workload,
};

/// Of a process of the system under this little load.
const MOST_RSS_BYTES: u64 = 512 * 1024 * 1024;
/// So long may nothing change before a run is called stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Few, so that each has much traffic.
const PARTITIONS: i32 = 6;

/// Few of the orders are rides: a courier costs more than an order.
const RIDES: f64 = 0.04;
const COURIERS: usize = 8;

/// Each of them has half of the orders and couriers, and tries to reach what is the other's.
const TENANTS: usize = 2;

/// Every other run asks couriers before it gives them an order.
fn offer_ms(seed: u64) -> u64 {
    if seed.is_multiple_of(2) { 3_000 } else { 0 }
}

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
    /// How long clients and faults last [default: 3 (quick), 22 (random), 1 (calm)]
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Orders that clients ask for in a second [default: 50 (quick), 85 (random), 100 (calm)]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Kafka brokers: 1 or 3 [default: 1 (quick, calm), 3 (random)]
    #[arg(long, value_parser = ["1", "3"])]
    pub brokers: Option<String>,
    /// Processes of each role, from 1 to 3.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3))]
    pub replicas: u64,
    /// Gateways before them, to which a share of the clients speaks HTTP; up to 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3))]
    pub gateways: u64,
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

/// What a profile chooses where its options do not.
struct Profile {
    name: &'static str,
    minutes: f64,
    rate: f64,
    brokers: usize,
    /// Connections to the mail server, of each replica.
    mail_connections: usize,
    drain: Duration,
    least: Least,
}

/// Minutes of faults on a small cluster: a check of every change.
pub fn quick(options: &Options, seed: u64) -> Result<Scenario> {
    Profile {
        name: "quick",
        minutes: 3.0,
        rate: 50.0,
        brokers: 1,
        mail_connections: 4,
        drain: Duration::from_secs(60),
        least: Least { orders: 5_000, faults: 20, kinds: 10, moves: 500, shown: 20_000, jobs: 50 },
    }
    .scenario(options, seed)
}

/// The long one.
pub fn random(options: &Options, seed: u64) -> Result<Scenario> {
    Profile {
        name: "random",
        minutes: 22.0,
        rate: 85.0,
        brokers: 3,
        mail_connections: 8,
        drain: Duration::from_secs(90),
        least: Least { orders: 100_000, faults: 200, kinds: 20, moves: 10_000, shown: 400_000, jobs: 1_000 },
    }
    .scenario(options, seed)
}

/// No fault at all: nothing may be repaired, repeated or refused.
pub fn calm(options: &Options, seed: u64) -> Result<Scenario> {
    let options = Options { only: Some("none".into()), ..options.clone() };
    Profile {
        name: "calm",
        minutes: 1.0,
        rate: 100.0,
        brokers: 1,
        mail_connections: 8,
        drain: Duration::from_secs(60),
        least: Least { orders: 4_000, faults: 0, kinds: 0, moves: 400, shown: 10_000, jobs: 40 },
    }
    .scenario(&options, seed)
}

impl Profile {
    fn scenario(self, options: &Options, seed: u64) -> Result<Scenario> {
        let minutes = options.minutes.unwrap_or(self.minutes);
        let rate = options.rate.unwrap_or(self.rate);
        ensure!(minutes > 0.0 && minutes < 100_000.0, "--minutes must lie above 0");
        ensure!(rate > 0.0, "--rate must lie above 0");
        let brokers = options.brokers.as_deref().map_or(self.brokers, |brokers| if brokers == "3" { 3 } else { 1 });
        let ground = Ground { replicas: options.replicas as usize, gateways: options.gateways as usize, brokers };
        let mut random = StdRng::seed_from_u64(seed);
        let length = Duration::from_secs_f64(minutes * 60.0);
        let kinds = kinds(options, &ground)?;
        let faults = plan(random.random(), &ground, &kinds, length.as_millis() as u64);
        // A run of a few kinds of fault is judged by those.
        let least = Least {
            faults: self.least.faults.min(faults.len() as u64),
            kinds: self.least.kinds.min(kinds.len() as u64),
            ..self.least
        };
        let shape = Shape {
            brokers,
            roles: &Role::SERVERS,
            replicas: ground.replicas,
            gateways: ground.gateways,
            tenants: TENANTS,
            partitions: PARTITIONS,
            step_ms: options.step_ms,
            binary: binary(options.binary.as_deref())?,
            seed: random.random(),
            settings: vec![
                ("COMANDA_SMTP_CONNECTIONS".into(), self.mail_connections.to_string()),
                ("COMANDA_OFFER_MS".into(), offer_ms(seed).to_string()),
            ],
        };
        let workload = workload::Settings {
            orders_per_second: rate,
            rides: RIDES,
            couriers: COURIERS,
            ..workload::Settings::default()
        };
        Ok(Scenario {
            name: self.name.into(),
            seed,
            shape,
            workload,
            faults,
            length,
            least,
            drain: self.drain,
            patience: PATIENCE,
            most_rss_bytes: MOST_RSS_BYTES,
            replay: replay(self.name, options, seed, minutes, rate, brokers),
        })
    }
}

fn kinds(options: &Options, ground: &Ground) -> Result<Vec<Kind>> {
    let mut kinds = ground.kinds();
    let Some(only) = &options.only else { return Ok(kinds) };
    if only == "none" {
        return Ok(Vec::new());
    }
    // What no run does by itself may be asked for.
    kinds.push(Kind::TopicsLost);
    kinds.retain(|kind| kind.name().contains(only.as_str()));
    let names = || ground.kinds().into_iter().map(Kind::name).collect::<Vec<_>>().join("\n  ");
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

fn replay(name: &str, options: &Options, seed: u64, minutes: f64, rate: f64, brokers: usize) -> String {
    let Options { replicas, gateways, step_ms, only, .. } = options;
    let only = only.as_ref().filter(|_| name != "calm");
    let only = only.map_or_else(String::new, |only| format!(" --only '{only}'"));
    format!(
        "scripts/trials {name} --seed {seed} --minutes {minutes} --rate {rate} --brokers {brokers} --replicas {replicas} --gateways {gateways} --step-ms {step_ms}{only}"
    )
}
