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
//! * `jobs`: from a status of an order to what its job needs (pure), and the consumer that applies it
//! * `allot`: which waiting order gets which courier: nearest, or a minimum-cost matching of a window (pure)
//! * `grid`: couriers by place, read from the topic; begins with the last positions of the database
//! * `travel`: how long a way takes (trait `Travel`)
//! * `leader`: rounds of allotment, offers that expire, silent couriers, expected times, last positions
//! * `locations`: positions of couriers in, thinned out by `filter`, sent by `publisher`
//! * `feed`: all positions from the topic into the grid of this replica; `last_positions`: from the grid into the database
//! * `commands`: what couriers and people ask for, each by compare-and-set
//! * `watch`: WatchCourier
//! * `api`, `store`, `operator`: as in the other services

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use clap::{Args, value_parser};
use comanda_kit::{
    kafka,
    lease::Elector,
    postgres, readiness,
    relay::Relay,
    server::Endpoint,
    shutdown::Tasks,
    streams::{Streams, Times},
};
use comanda_proto::{topics, v1::dispatch_service_server::DispatchServiceServer};
use sqlx::PgPool;
use tokio::sync::Notify;
use tonic::{codec::CompressionEncoding, service::Routes};

use crate::{
    api::Api, feed::Feed, grid::Grid, last_positions::LastPositions, locations::Locations, publisher::Publisher,
    store::Store,
};

mod api;
pub mod feed;
pub mod filter;
pub mod grid;
pub mod last_positions;
pub mod locations;
pub mod place;
pub mod publisher;
mod reach;
pub mod roster;
pub mod store;
pub mod travel;

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

/// The service, not yet running.
pub struct App {
    pool: PgPool,
    store: Store,
    kafka: kafka::Config,
    publisher: Publisher,
}

impl App {
    /// Checks the settings. What is down is waited for later, while the server answers NOT_SERVING.
    pub fn build(_config: &Config, postgres: &postgres::Config, kafka: &kafka::Config) -> Result<Self> {
        let pool = postgres::pool(postgres, SCHEMA)?;
        let publisher = Publisher::new(kafka, kafka.topic(topics::COURIER_LOCATIONS))?;
        Ok(Self { store: Store::new(pool.clone()), pool, kafka: kafka.clone(), publisher })
    }

    /// Starts the consumer, the leader and its relay.
    pub fn start(self, tasks: &Tasks) -> Result<Endpoint> {
        let Self { pool, store, kafka, publisher } = self;
        let relay_nudge = Arc::new(Notify::new());
        let stop = tasks.stop_token();

        let grid = Arc::new(Grid::default());
        let topic = kafka.topic(topics::COURIER_LOCATIONS);
        let feed = Feed { grid: grid.clone(), store: store.clone(), kafka: kafka.clone(), topic };
        tasks.spawn("positions", feed.run(stop.clone()));
        let last_positions = LastPositions::new(grid, store.clone());
        let locations = Locations::new(store.clone(), publisher);

        let elector = Elector::new(pool.clone());
        let topic = kafka.topic(topics::ASSIGNMENTS);
        let relay = Relay::new(pool.clone(), store, kafka, topic, relay_nudge)?;
        tasks.spawn("dispatch leader", async move {
            let relay = relay.run(elector.clone(), stop.clone());
            let last_positions = last_positions.run(elector.clone(), stop);
            elector.while_working(async { _ = tokio::join!(relay, last_positions) }).await;
            Ok(())
        });

        let location_streams = Streams::new("locations", MAX_STREAMS, STREAM_TIMES, tasks.clone());
        let api = Api { locations, location_streams };
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
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        _config: Config,
    }

    #[test]
    fn the_settings_are_consistent() {
        Cli::command().debug_assert();
    }
}
