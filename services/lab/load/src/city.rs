//! `city`: a small city on services that run already. Couriers come online, say where they are and do their jobs; people ask for rides and
//! watch them. It ends when every ride has ended, and says what became of all of them.

mod book;
mod courier;
mod job;
mod jobs;
mod life;
mod link;
mod manners;
mod position;
mod ride;

use std::{io::IsTerminal, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{book::Book, courier::Courier, life::Life, link::Links, manners::Manners, ride::Ride};
use crate::map::Demand;

/// How often the progress is written where nobody looks at a terminal.
const TELL: Duration = Duration::from_secs(10);
const REFRESH: Duration = Duration::from_millis(250);

/// `comanda load city`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The services run already: `comanda dev`, or each role by itself. Each run registers couriers of its own (names.. of --names), which go
offline again at its end, and makes rides that stay. A server that is away is waited for.

Exit codes: 0, every ride has ended and nothing was wrong; 1, otherwise.

Examples:
  comanda load city
  comanda load city --addr 127.0.0.1:50051 --couriers 500 --rides 5000 --duration 480 --cancel-percent 5
  comanda load city --trips yellow_tripdata_2014-03.csv --radius-km 2")]
pub struct CityArgs {
    /// How many couriers.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub couriers: u64,
    /// How many rides are asked for.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rides: u64,
    /// Over how many seconds they are spread at random. The last ones end later.
    #[arg(long, default_value_t = 90)]
    pub duration: u64,
    /// How long no ride may end, in seconds, before those that are left count as stuck.
    #[arg(long, default_value_t = 660)]
    pub patience: u64,
    /// How far the city reaches. A small one has short rides.
    #[arg(long, default_value_t = 1.0)]
    pub radius_km: f64,
    /// How fast couriers drive, in metres a second. The server takes more than 60 for an error.
    #[arg(long, default_value_t = 30.0)]
    pub speed: f64,
    #[command(flatten)]
    manners: Manners,
    /// Rides from where to where others were really driven, one after the other: a CSV file with the columns pickup_latitude,
    /// pickup_longitude, dropoff_latitude and dropoff_longitude, scaled to --radius-km. New York's yellow cabs up to June 2016 are such files.
    #[arg(long)]
    pub trips: Option<PathBuf>,
    /// What the ids of couriers and customers begin with [default: a new word].
    #[arg(long)]
    pub names: Option<String>,
    /// The workflow of the rides: it has a `[dispatch]`.
    #[arg(long, default_value = "ride")]
    pub workflow: String,
    /// The same number makes the same city.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the summary as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    servers: link::Servers,
}

/// Runs it.
pub async fn run(args: CityArgs) -> Result<()> {
    let life = Life::new(&args)?;
    let (stop, mut couriers) = (CancellationToken::new(), JoinSet::new());
    for n in 0..args.couriers {
        couriers.spawn(Courier::new(&life, n).run(stop.clone()));
    }
    // The first error tells that there is no city to be had, before anything is asked for.
    life.book.online(args.couriers).await?;
    let mut rides = rides(&args, &life);
    let whole = tokio::select! {
        whole = ended(&mut rides, Duration::from_secs(args.patience)) => whole,
        () = tell(&life.book, args.json) => unreachable!("it tells for ever"),
    };
    rides.shutdown().await;
    stop.cancel();
    while couriers.join_next().await.is_some() {}
    let summary = life.book.summary();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?)
    } else {
        print!("{summary}")
    }
    match summary.wrong.is_empty() && whole {
        true => Ok(()),
        false => bail!("the city did not end as it should: see above"),
    }
}

/// Each ride waits for its moment.
fn rides(args: &CityArgs, life: &Arc<Life>) -> JoinSet<()> {
    let (mut random, start) = (StdRng::seed_from_u64(args.seed), Instant::now());
    let mut rides = JoinSet::new();
    for n in 0..args.rides {
        let moment = start + Duration::from_secs_f64(args.duration as f64 * random.random::<f64>());
        let ride = Ride::new(life, n);
        rides.spawn(async move {
            sleep_until(moment).await;
            ride.run().await;
        });
    }
    rides
}

/// Whether all have ended, none after more than `patience` without another.
async fn ended(rides: &mut JoinSet<()>, patience: Duration) -> bool {
    loop {
        match tokio::time::timeout(patience, rides.join_next()).await {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// A line that moves, or lines where nobody looks.
async fn tell(book: &Book, is_quiet: bool) {
    let is_seen = std::io::stderr().is_terminal();
    let bar = indicatif::ProgressBar::new_spinner();
    let mut ticks = interval(if is_seen { REFRESH } else { TELL });
    loop {
        ticks.tick().await;
        match (is_seen, is_quiet) {
            (true, _) => bar.set_message(book.progress()),
            (false, false) => println!("{}", book.progress()),
            (false, true) => eprintln!("{}", book.progress()),
        }
        bar.tick();
    }
}

impl Life {
    fn new(args: &CityArgs) -> Result<Arc<Self>> {
        let demand = Demand::new(args.radius_km * 1000.0, args.trips.as_deref())?.within(args.radius_km * 1000.0);
        let names = args.names.clone().unwrap_or_else(|| format!("city-{:06x}", rand::random_range(0..0x100_0000)));
        Ok(Arc::new(Self {
            links: Links::new(&args.servers, args.couriers + args.rides),
            book: Book::new(args.rides),
            demand,
            manners: args.manners.clone(),
            names,
            workflow: args.workflow.clone(),
            speed: args.speed,
            seed: args.seed,
        }))
    }
}
