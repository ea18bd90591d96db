//! `bench`: the workloads in one go, each as somebody would write it behind `comanda load`.

use clap::Args;

/// About ten minutes a round on two cores.
const STEPS: [&str; 16] = [
    "probes",
    "accept --seconds 15",
    "accept --seconds 15 --request-ids",
    "accept --seconds 15 --http",
    "lives --orders 50000 --clients 256",
    "lives --orders 600 --rate 20 --watch",
    "watch --kind idle",
    "watch --kind fan-out",
    "timers --pending 100000 --rate 2000 --seconds 10 --burst 5000",
    "mail --orders 5000",
    "lives --orders 50000 --clients 256 --all-roles",
    "dispatch --kind allot",
    "dispatch --kind confirm",
    "dispatch --kind distance",
    "dispatch --kind locations",
    "analytics --kind fold",
];
/// An hour a round.
const FULL: [&str; 10] = [
    "lives --orders 100000 --clients 256 --dwell-ms 100",
    "watch --kind idle --streams 2000 --per-connection 1",
    "watch --kind many",
    "watch --kind stalled",
    "overload",
    "timers",
    "mail --orders 2500 --sink-delay-ms 5 --refused-percent 0",
    "growth",
    "accept --rate 1000 --seconds 60",
    "analytics --kind rebuild --orders 1000000",
];

/// Settings of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// The long ones too: a million timers, a million delivered orders, overload, slow mail servers.
    #[arg(long)]
    pub full: bool,
    /// Only workloads of these names.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

impl BenchArgs {
    /// The command lines.
    pub fn steps(&self) -> impl Iterator<Item = String> {
        let more = if self.full { FULL.as_slice() } else { &[] };
        let wanted = |step: &&&str| {
            let name = step.split_whitespace().next().unwrap_or_default();
            self.only.is_empty() || self.only.iter().any(|only| only == name)
        };
        STEPS.iter().chain(more).filter(wanted).map(|step| (*step).to_owned())
    }
}
