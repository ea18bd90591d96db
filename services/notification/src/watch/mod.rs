//! The streams: what happens to orders, as it happens.
//!
//! The [`reader`] reads the topic of transitions into the [`hub`]. Each stream runs in a task of its own ([`comanda_kit::streams`]): [`order_stream`]
//! (WatchOrder) and [`orders_stream`] (WatchOrders) take from the hub, read the [`store`] for what was before or what a slow client missed,
//! and send through its output. The courier of an order comes beside its transitions: a [`follower`] of its stream asks the store who it is
//! and takes from [`couriers`], which two [`feed`]s fill, where it is. [`repair`] compares the streams with the store in case the topic never
//! brings something.

use std::{sync::Arc, time::Duration};

use clap::Args;
use comanda_kit::{
    kafka, readiness as kit_readiness,
    shutdown::Tasks,
    streams::{Streams, Times},
    workflows::Workflows,
};
use comanda_proto::{frame::watch_service_server::WatchServiceServer, topics};
use sqlx::PgPool;
use tokio::sync::watch;

use self::{
    api::Api, broker::Broker, couriers::Couriers, feed::Feed, hub::Hub, reader::Reader, repair::Repair, ring::Limits,
    store::Store, undecodable::Undecodable,
};

pub mod api;
pub mod broker;
pub mod couriers;
pub mod cursor;
pub mod event;
pub mod feed;
pub mod filter;
pub mod follower;
pub mod hub;
pub mod latest;
pub mod order_stream;
pub mod orders_stream;
pub mod place;
pub mod reader;
pub mod readiness;
pub mod repair;
pub mod ring;
pub mod store;
pub mod token;
pub mod told;
pub mod undecodable;

/// Settings of the streams.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Silence after which a watch gets a heartbeat, in milliseconds.
    #[arg(long, env = "COMANDA_WATCH_HEARTBEAT_MS", default_value_t = 15_000)]
    pub watch_heartbeat_ms: u64,
    /// How long a client may leave a response waiting before its stream is ended, in milliseconds.
    #[arg(long, env = "COMANDA_WATCH_STALL_MS", default_value_t = 30_000)]
    pub watch_stall_ms: u64,
    /// How old a watch gets before it is ended, so that watches spread over the replicas, in milliseconds; differs by a tenth at random.
    #[arg(long, env = "COMANDA_WATCH_AGE_MS", default_value_t = 1_800_000)]
    pub watch_age_ms: u64,
    /// How often open watches are compared with the database, in milliseconds.
    #[arg(long, env = "COMANDA_WATCH_CHECK_MS", default_value_t = 30_000)]
    pub watch_check_ms: u64,
    /// How often the database is asked whether Kafka's log was lost, in milliseconds.
    #[arg(long, env = "COMANDA_WATCH_EPOCH_MS", default_value_t = 5000)]
    pub watch_epoch_ms: u64,
    /// How often Kafka is asked whether the topic has got more partitions, in milliseconds.
    #[arg(long, env = "COMANDA_WATCH_PARTITIONS_MS", default_value_t = 15_000)]
    pub watch_partitions_ms: u64,
    /// The least time between two updates of a courier's place and expected times in a watch of one order, in milliseconds.
    #[arg(long, env = "COMANDA_WATCH_COURIER_MS", default_value_t = 2000)]
    pub watch_courier_ms: u64,
    /// For how long a resume_token of WatchOrders holds, in milliseconds, unless one of the next two limits is met earlier.
    #[arg(long, env = "COMANDA_WATCH_KEEP_MS", default_value_t = 600_000)]
    pub watch_keep_ms: u64,
    /// How many transitions are kept at most for watches that resume.
    #[arg(long, env = "COMANDA_WATCH_KEEP_RECORDS", default_value_t = 200_000)]
    pub watch_keep_records: usize,
    /// How many bytes they may occupy.
    #[arg(long, env = "COMANDA_WATCH_KEEP_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub watch_keep_bytes: usize,
    /// Watches of single orders that may be open at once; further ones are answered RESOURCE_EXHAUSTED.
    #[arg(long, env = "COMANDA_MAX_WATCHES", default_value_t = 100_000)]
    pub max_watches: usize,
    /// Watches of many orders that may be open at once. Each looks at every transition.
    #[arg(long, env = "COMANDA_MAX_MANY_WATCHES", default_value_t = 2000)]
    pub max_many_watches: usize,
    /// At the start, read the topic from its beginning instead of looking up a time: for brokers that cannot.
    #[arg(long, env = "COMANDA_FEED_FROM_BEGINNING", hide = true)]
    pub feed_from_beginning: bool,
}

impl Config {
    fn times(&self) -> Times {
        Times {
            heartbeat: Duration::from_millis(self.watch_heartbeat_ms),
            stall: Duration::from_millis(self.watch_stall_ms),
            age: Duration::from_millis(self.watch_age_ms),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            count: self.watch_keep_records,
            bytes: self.watch_keep_bytes,
            age: Duration::from_millis(self.watch_keep_ms),
        }
    }
}

/// Full name of the gRPC service, for health.
pub const SERVICE: &str = "comanda.v1.WatchService";
/// Largest request.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Starts everything; returns the service, and whether it can do its work.
pub fn start(
    config: &Config,
    kafka: &kafka::Config,
    pool: PgPool,
    tasks: &Tasks,
) -> (WatchServiceServer<Api>, watch::Receiver<bool>) {
    let (hub, store) = (Hub::new(config.limits()), Arc::new(Store::new(pool.clone(), tasks.clone())));
    let broker = Broker::new(kafka.clone(), kafka.topic(topics::ORDER_TRANSITIONS));
    let couriers = start_couriers(config, kafka, store.clone(), Workflows::new(pool.clone()), tasks);
    let database = kit_readiness::database(pool, tasks, async { Ok(()) });
    let ready = start_background(config, kafka, (&hub, &store, &broker), database, tasks);
    let streams = |kind, max| Streams::new(kind, max, config.times(), tasks.clone());
    let order_streams = streams("order", config.max_watches);
    let orders_streams = streams("orders", config.max_many_watches);
    let api = Api { hub, store, couriers, broker, order_streams, orders_streams };
    (
        WatchServiceServer::new(api)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip),
        ready,
    )
}

/// Starts what runs beside the streams; returns whether they can be served.
fn start_background(
    config: &Config,
    kafka: &kafka::Config,
    (hub, store, broker): (&Arc<Hub>, &Arc<Store>, &Broker),
    database: watch::Receiver<bool>,
    tasks: &Tasks,
) -> watch::Receiver<bool> {
    let reader = Reader {
        hub: hub.clone(),
        undecodable: Undecodable { hub: hub.clone(), store: store.clone() },
        broker: broker.clone(),
        kafka: kafka.clone(),
        topic: kafka.topic(topics::ORDER_TRANSITIONS),
        limits: config.limits(),
        from_beginning: config.feed_from_beginning,
        partitions_interval: Duration::from_millis(config.watch_partitions_ms),
        store: store.clone(),
        epoch_interval: Duration::from_millis(config.watch_epoch_ms),
    };
    let interval = Duration::from_millis(config.watch_check_ms);
    let repair = Repair { hub: hub.clone(), store: store.clone(), interval };
    tasks.spawn("watch reader", reader.run(tasks.stop_token()));
    tasks.spawn("watch repair", repair.run(tasks.stop_token()));
    let (sender, ready) = watch::channel(false);
    tasks.spawn("watch readiness", readiness::report(hub.ready(), database, sender, tasks.stop_token()));
    ready
}

/// Starts what tells streams of couriers: nothing that they need in order to be served.
fn start_couriers(
    config: &Config,
    kafka: &kafka::Config,
    store: Arc<Store>,
    workflows: Workflows,
    tasks: &Tasks,
) -> Arc<Couriers> {
    let interval = Duration::from_millis(config.watch_courier_ms);
    let (hints, places) = (Arc::default(), Arc::default());
    let couriers = Arc::new(Couriers { hints, places, store, workflows, interval });
    let assignments = Feed {
        couriers: couriers.clone(),
        wanted: couriers.hints.is_followed(),
        begin: Couriers::hint_all,
        take: Couriers::hint,
        kafka: kafka.clone(),
        topic: kafka.topic(topics::ASSIGNMENTS),
        interval: Duration::from_millis(config.watch_partitions_ms),
    };
    let locations = Feed {
        wanted: couriers.places.is_followed(),
        // A place that was missed is followed by the next one.
        begin: |_| {},
        take: Couriers::locate,
        topic: kafka.topic(topics::COURIER_LOCATIONS),
        couriers: couriers.clone(),
        kafka: kafka.clone(),
        interval: assignments.interval,
    };
    tasks.spawn("watch assignments", assignments.run(tasks.stop_token()));
    tasks.spawn("watch courier locations", locations.run(tasks.stop_token()));
    couriers
}
