//! `dispatch`: how many rides a second get their courier, how soon somebody hears of it, how far couriers come, and how many positions a
//! second are taken. Couriers are loaded into the tables directly, as if they had registered and said where they are.

mod allot;
mod confirm;
mod distance;
mod locations;
mod optimum;
mod rides;

use anyhow::Result;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use crate::{
    map::Demand,
    report::Run,
    stage::{Stage, StageArgs},
    workloads::{begin, observed, progress},
};

/// How far the made-up city reaches, in metres.
const RADIUS: f64 = 6000.0;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Rides that wait already when dispatch starts: how many a second it allots.
    Allot,
    /// Rides at a rate, and one watcher of all: how soon it sees them confirmed.
    Confirm,
    /// Rides that wait together: how far their couriers come, beside the best that could be had, and beside the nearest one for each in its turn.
    Distance,
    /// A stream of positions of each courier.
    Locations,
}

/// Settings of `dispatch`.
#[derive(Args, Clone, Debug)]
pub struct DispatchArgs {
    /// What is measured.
    #[arg(long, value_enum, default_value = "allot")]
    pub kind: Kind,
    /// Couriers, all of them free [default: 10000, of distance 500, of locations 20000].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=200_000))]
    pub couriers: Option<u64>,
    /// Rides [default: 5000, of distance 250].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rides: Option<u64>,
    /// Rides a second of confirm.
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// How long confirm and locations last. A position is good for two minutes, and those of confirm are not renewed.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=90))]
    pub seconds: u64,
    /// Rides from where to where others were really driven: a CSV file with the columns pickup_latitude, pickup_longitude, dropoff_latitude
    /// and dropoff_longitude. New York's yellow cabs up to June 2016 are such files; --help of `city` says more.
    #[arg(long)]
    pub trips: Option<std::path::PathBuf>,
}

impl DispatchArgs {
    fn couriers(&self) -> u64 {
        self.couriers.unwrap_or(match self.kind {
            Kind::Allot | Kind::Confirm => 10_000,
            Kind::Distance => 500,
            Kind::Locations => 20_000,
        })
    }

    fn rides(&self) -> u64 {
        self.rides.unwrap_or(if self.kind == Kind::Distance { 250 } else { 5000 })
    }

    fn demand(&self) -> Result<Demand> {
        Demand::new(RADIUS, self.trips.as_deref())
    }

    fn variant(&self) -> String {
        let (couriers, trips) = (self.couriers(), if self.trips.is_some() { ", real trips" } else { "" });
        match self.kind {
            Kind::Allot => format!("allot, {} rides, {couriers} couriers{trips}", self.rides()),
            Kind::Confirm => format!("confirm, {}/s, {couriers} couriers{trips}", self.rate),
            Kind::Distance => format!("distance, {} rides, {couriers} couriers{trips}", self.rides()),
            Kind::Locations => format!("locations, {couriers} couriers"),
        }
    }
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &DispatchArgs, repeat: u32) -> Result<Run> {
    let mut run = begin("dispatch", &args.variant(), repeat);
    let bar = progress(&run);
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    prepare(&mut stage, args, &bar).await?;
    let mut found = Run::default();
    match args.kind {
        Kind::Allot => allot::measure(&mut stage, args, &bar, &mut found).await?,
        Kind::Distance => distance::measure(&mut stage, args, &bar, &mut found).await?,
        Kind::Confirm => observed(&stage, &mut run, confirm::measure(&stage, args, &bar, &mut found)).await?,
        Kind::Locations => observed(&stage, &mut run, locations::measure(&stage, args, &bar, &mut found)).await?,
    }
    run.figures.append(&mut found.figures);
    run.latencies.append(&mut found.latencies);
    run.costs.append(&mut found.costs);
    run.checks.append(&mut found.checks);
    bar.set_message("checking");
    rides::check(&stage.sql, &mut run).await?;
    stage.clear().await?;
    bar.finish_and_clear();
    Ok(run)
}

/// The roles that a kind begins with, and its couriers. Where rides are to wait for dispatch, it starts later.
async fn prepare(stage: &mut Stage, args: &DispatchArgs, bar: &ProgressBar) -> Result<()> {
    bar.set_message("starting");
    if args.kind != Kind::Locations {
        stage.start_role("ordering", &[]).await?;
        stage.start_role("state-machine", &rides::at_rest()).await?;
    }
    if args.kind == Kind::Confirm {
        stage.start_role("notification", &[("COMANDA_NO_MAILS", "true".into())]).await?;
    }
    if matches!(args.kind, Kind::Confirm | Kind::Locations) {
        rides::couriers(&stage.sql, args.couriers(), &args.demand()?).await?;
        locations::start(stage, args).await?;
    }
    Ok(())
}
