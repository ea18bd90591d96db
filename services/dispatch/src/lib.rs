//! The dispatch service: finds a courier for each order that needs one, and follows the job to its end.
//!
//! # How data flows
//!
//! ```text
//! order-transitions --> [jobs] --+                        couriers' streams --> [locations] --> courier-locations
//!                                v                                                                     |
//!   view order_trips --> [allot]: a pure function <-- [grid]: where couriers are <---------------------+
//!                                |
//!                                v  one compare-and-set statement: assignment, job, event, outbox pointer
//!                             [store] --> relay --> assignments --> state-machine takes the step --> order-transitions
//! ```
//!
//! Nothing is told to anybody by a call: an event may carry a step (`Step`), which the state machine takes only while the order has the version
//! that was decided on. Where it does not, a newer version exists, whose record comes back here and is decided upon again. So every
//! statement compares the version of its job (`event_version`), and a crash, a repeated record or a former leader changes nothing twice.
//!
//! Two unique indexes hold whatever else fails: an order has one open assignment at most, and a courier one in each of its slots. Whether a
//! courier is busy is derived from its open assignments, never stored.
//!
//! The leader alone allots, expires offers, refreshes expected times and relays. Every replica serves calls and takes locations.
//!
//! # Modules
//!
//! * `jobs`: from a status of an order to what its job needs (pure); `consumer` applies it to what the topic tells
//! * `decide`, `change`: what dispatch does by itself or for a caller, as changes with their events (pure)
//! * `allot`: which waiting order gets which courier: nearest, or a minimum-cost matching of a window (pure)
//! * `grid`: couriers by place, read from the topic; begins with the last positions of the database
//! * `travel`: how long a way takes (trait `Travel`)
//! * `leader`: rounds of allotment; what is overdue: offers, silent couriers, steps that nobody answered
//! * `locations`: positions of `registered` couriers in, thinned out by `filter`, sent by `publisher`
//! * `commands`, `assign`: what couriers and people ask for, each by compare-and-set
//! * `wake`: tells this replica's leader what the calls of this replica changed
//! * `feed`: all positions from the topic into the grid of this replica; `last_positions`: from the grid into the database
//! * `watch`: WatchCourier
//! * `api`, `store`, `operator`: as in the other services

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use clap::{Args, value_parser};
use comanda_kit::{
    consumer::Consumer,
    kafka,
    lease::Elector,
    postgres, readiness,
    relay::Relay,
    server::Endpoint,
    shutdown::Tasks,
    streams::{Streams, Times},
    workflows::Workflows,
};
use comanda_proto::{topics, v1::dispatch_service_server::DispatchServiceServer};
use sqlx::PgPool;
use tokio::sync::Notify;
use tonic::{codec::CompressionEncoding, service::Routes};

use crate::{
    api::Api,
    assign::Assign,
    commands::Commands,
    consumer::Follower,
    feed::Feed,
    grid::Grid,
    last_positions::LastPositions,
    leader::{
        expected::ExpectedTimes,
        overdue::Overdue,
        rounds::{Rounds, Rules},
    },
    locations::Locations,
    publisher::Publisher,
    registered::Registered,
    store::Store,
    travel::{StraightLine, Travel},
    wake::Wake,
    watch::Watched,
};

pub mod allot;
mod api;
pub mod assign;
pub mod change;
pub mod commands;
pub mod consumer;
pub mod decide;
pub mod eta;
pub mod feed;
pub mod filter;
pub mod grid;
pub mod jobs;
pub mod last_positions;
pub mod leader;
pub mod locations;
pub mod model;
pub mod operator;
pub mod place;
pub mod publisher;
mod reach;
pub mod registered;
pub mod reporters;
mod shown;
pub mod store;
pub mod travel;
pub mod wake;
pub mod watch;

/// The schema that this service alone writes.
pub const SCHEMA: &str = "dispatch";

const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Streams of positions, and streams of jobs, that may be open at once.
const MAX_STREAMS: usize = 50_000;
/// As the contract says.
const STREAM_TIMES: Times =
    Times { heartbeat: Duration::from_secs(15), stall: Duration::from_secs(30), age: Duration::from_secs(30 * 60) };

/// Settings of dispatch.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// For how long an order is offered to one courier, in milliseconds, before the next is asked. 0: orders are allotted without asking.
    #[arg(long, env = "COMANDA_OFFER_MS", default_value_t = 0, value_parser = value_parser!(u32).range(..=600_000))]
    pub offer_ms: u32,
    /// How many couriers are tried for one order before the search is given up.
    #[arg(long, env = "COMANDA_DISPATCH_ATTEMPTS", default_value_t = 5, value_parser = value_parser!(u16).range(1..=100))]
    pub dispatch_attempts: u16,
    /// For how long orders are gathered, in milliseconds, before they are matched with couriers together. A single one is allotted at once.
    #[arg(long, env = "COMANDA_DISPATCH_WINDOW_MS", default_value_t = 500, value_parser = value_parser!(u32).range(10..=10_000))]
    pub dispatch_window_ms: u32,
    /// How fast couriers get ahead on average, in kilometres an hour over the straight line, where nothing better is known.
    #[arg(long, env = "COMANDA_COURIER_KMH", default_value_t = 20, value_parser = value_parser!(u16).range(1..=200))]
    pub courier_kmh: u16,
}

impl Config {
    /// How the leader gives orders to couriers.
    pub fn rules(&self) -> Rules {
        Rules {
            offer: (self.offer_ms > 0).then(|| Duration::from_millis(self.offer_ms.into())),
            attempts: self.dispatch_attempts.into(),
            window: Duration::from_millis(self.dispatch_window_ms.into()),
        }
    }
}

/// The service, not yet running.
pub struct App {
    pool: PgPool,
    store: Store,
    kafka: kafka::Config,
    publisher: Publisher,
    rules: Rules,
    travel: Arc<dyn Travel>,
}

impl App {
    /// Checks the settings. What is down is waited for later, while the server answers NOT_SERVING.
    pub fn build(config: &Config, postgres: &postgres::Config, kafka: &kafka::Config) -> Result<Self> {
        let pool = postgres::pool(postgres, SCHEMA)?;
        let publisher = Publisher::new(kafka, kafka.topic(topics::COURIER_LOCATIONS))?;
        let travel = Arc::new(StraightLine { kmh: config.courier_kmh });
        let store = Store::new(pool.clone());
        Ok(Self { store, pool, kafka: kafka.clone(), publisher, rules: config.rules(), travel })
    }

    /// Starts the consumers, the leader and its relay.
    pub fn start(self, tasks: &Tasks) -> Result<Endpoint> {
        let Self { pool, store, kafka, publisher, rules, travel } = self;
        let (wake, relay_nudge) = (Arc::new(Wake::default()), Arc::new(Notify::new()));
        let workflows = Workflows::new(pool.clone());
        let stop = tasks.stop_token();

        let grid = Arc::new(Grid::default());
        let topic = kafka.topic(topics::COURIER_LOCATIONS);
        let feed = Feed { grid: grid.clone(), store: store.clone(), kafka: kafka.clone(), topic };
        tasks.spawn("positions", feed.run(stop.clone()));
        let last_positions = LastPositions::new(grid.clone(), store.clone());

        let follower = Follower::new(store.clone(), workflows.clone(), wake.clone(), relay_nudge.clone());
        let consumer = Consumer {
            group: "comanda-dispatch",
            topic: kafka.topic(topics::ORDER_TRANSITIONS),
            kafka: kafka.clone(),
            pool: pool.clone(),
            handler: follower.clone(),
        };
        tasks.spawn("order-transitions consumer", consumer.run(stop.clone()));

        let nudges = (wake.clone(), relay_nudge.clone());
        let places = (grid.clone(), travel.clone());
        let rounds = Rounds::new(store.clone(), workflows.clone(), places.clone(), rules, nudges.clone());
        let overdue = Overdue::new(store.clone(), workflows.clone(), grid, follower.clone(), nudges.clone());
        let expected = ExpectedTimes::new(store.clone(), places.clone(), relay_nudge.clone());
        let topic = kafka.topic(topics::ASSIGNMENTS);
        let relay = Relay::new(pool.clone(), store.clone(), kafka, topic, relay_nudge.clone())?;
        let elector = Elector::new(pool.clone());
        tasks.spawn("dispatch leader", async move {
            let rounds = Box::pin(rounds.run(elector.clone(), stop.clone()));
            let overdue = Box::pin(overdue.run(elector.clone(), stop.clone()));
            let relay = Box::pin(relay.run(elector.clone(), stop.clone()));
            let expected = Box::pin(expected.run(elector.clone(), stop.clone()));
            let last_positions = Box::pin(last_positions.run(elector.clone(), stop));
            elector.while_working(async { _ = tokio::join!(rounds, overdue, expected, relay, last_positions) }).await;
            Ok(())
        });

        let watched = Arc::<Watched>::default();
        tasks.spawn("watches of couriers", watched.clone().run(store.clone(), tasks.stop_token()));
        let api = Api {
            commands: Commands::new(store.clone(), workflows.clone(), wake.clone(), relay_nudge),
            assign: Assign::new(store.clone(), workflows, follower, places, nudges),
            wake,
            tasks: tasks.clone(),
            locations: Locations::new(Registered::start(store.clone(), tasks), publisher),
            location_streams: Streams::new("locations", MAX_STREAMS, STREAM_TIMES, tasks.clone()),
            watched,
            courier_streams: Streams::new("courier", MAX_STREAMS, STREAM_TIMES, tasks.clone()),
            store,
        };
        let service = DispatchServiceServer::new(api)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        Ok(Endpoint {
            routes: Routes::new(service),
            services: vec!["comanda.v1.DispatchService"],
            ready: readiness::database(pool, tasks, async { Ok(()) }),
        })
    }
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::check_settings;

    use super::*;

    #[test]
    fn the_settings_are_consistent() {
        check_settings::<Config>();
    }
}
