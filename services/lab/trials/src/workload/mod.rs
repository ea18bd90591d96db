//! The clients of a run: they create orders at a steady rate whatever becomes of them, move, look up and watch them, and also ask for
//! what must be refused. All that they do and see goes into the history.

mod bad;
mod bad_requests;
mod boards;
mod calls;
mod clients;
mod content;
mod couriers;
mod create;
pub mod digest;
mod entry;
mod foreign;
mod generator;
mod http;
mod moves;
mod reads;
mod replicas;
pub mod shown;
mod shuffle;
mod sse;
mod streams;
mod watch;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use comanda_checker::history::What;
use futures::future::join_all;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    boards::Board, clients::Clients, couriers::Courier, foreign::Foreigner, generator::Generator, http::Gateway,
    replicas::Replicas,
};
use crate::{
    cluster::{Endpoints, Role},
    recorder::Recorder,
};

/// What clients get to see the ends of their orders before they are sent away.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// What the clients do. Shares lie between 0 and 1.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Orders that are asked for in a second.
    pub orders_per_second: f64,
    /// The share of orders that are rides, which need a courier.
    pub rides: f64,
    /// Couriers who take them.
    pub couriers: usize,
    /// Of the rides, so many are moved by somebody as if they had a courier, and back.
    pub shuffled: f64,
    /// Of the creating calls, so many ask for 2 to 20 orders at once.
    pub batches: f64,
    /// Of the orders, so many are moved by a client.
    pub moved: f64,
    /// How long an order lives, about: what clients do with one is spread over this time.
    pub order_life_ms: u64,
    /// Of these moves, so many are a cancel at the moment when the order's timer is due: one of the two must win, the other be told.
    pub races: f64,
    /// Watchers of each order, on average; each is a client of its own.
    pub watched: f64,
    /// Streams that watch many orders.
    pub boards: usize,
    /// Reads, per order that is asked for.
    pub reads: f64,
    /// Calls that must be refused, per order that is asked for.
    pub bad_calls: f64,
    /// Where there is a gateway, so many of the calls that create or read one order, and of the watches, go by HTTP.
    pub http: f64,
    /// Of the calls, so many are left by their clients after 20 ms at most.
    pub hang_ups: f64,
    /// How long clients wait for an answer else: between so many milliseconds and so many.
    pub patience_ms: (u64, u64),
    /// Connections to each replica.
    pub connections: usize,
    /// Creating, reading and bad calls that may be in flight at once; what would go beyond is held back, and counted.
    pub most_calls: usize,
    /// Clients that may move orders at once.
    pub most_movers: usize,
    /// Streams of one order that may be open at once.
    pub most_streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            orders_per_second: 50.0,
            rides: 0.0,
            couriers: 0,
            shuffled: 0.0,
            batches: 0.1,
            moved: 0.3,
            races: 0.0,
            order_life_ms: 3000,
            watched: 0.2,
            boards: 4,
            reads: 0.5,
            bad_calls: 0.02,
            http: 0.25,
            hang_ups: 0.03,
            patience_ms: (3000, 6000),
            connections: 3,
            most_calls: 400,
            most_movers: 2000,
            most_streams: 500,
        }
    }
}

impl Settings {
    /// What each of several tenants does of it.
    fn shared_by(self, tenants: usize) -> Self {
        let part = |count: usize| count.div_ceil(tenants.max(1));
        Self {
            orders_per_second: self.orders_per_second / tenants.max(1) as f64,
            couriers: part(self.couriers),
            boards: part(self.boards),
            most_calls: part(self.most_calls),
            most_movers: part(self.most_movers),
            most_streams: part(self.most_streams),
            ..self
        }
    }
}

/// The clients at work: some of each tenant.
#[derive(Debug)]
pub struct Workload {
    tenants: Vec<Arc<Clients>>,
}

impl Workload {
    /// Starts the clients. They leave everything as it is when `shutdown` comes.
    pub fn start(
        endpoints: &Endpoints,
        settings: Settings,
        recorder: Recorder,
        seed: u64,
        shutdown: &CancellationToken,
    ) -> Result<Self> {
        let is_served = settings.couriers == 0 && settings.rides == 0.0 || endpoints.has(Role::Dispatch);
        ensure!(is_served, "rides need a dispatch, and the cluster has none");
        let mut rng = StdRng::seed_from_u64(seed);
        let settings = settings.shared_by(endpoints.tenants.len());
        let tenants = endpoints.tenants.iter().map(|tenant| {
            Ok(Arc::new(Clients {
                tenant: tenant.clone(),
                replicas: Replicas::new(endpoints, tenant.clone(), settings.connections)?,
                gateways: endpoints.of(Role::Gateway).map(|it| Gateway::new(it, tenant)).collect::<Result<_>>()?,
                recorder: recorder.clone(),
                known: clients::Known::default(),
                held_back: AtomicU64::new(0),
                calls: Arc::new(Semaphore::new(settings.most_calls)),
                movers: Arc::new(Semaphore::new(settings.most_movers)),
                streams: Arc::new(Semaphore::new(settings.most_streams)),
                tasks: TaskTracker::new(),
                no_more: CancellationToken::new(),
                last_look: CancellationToken::new(),
                shutdown: shutdown.child_token(),
                settings: settings.clone(),
            }))
        });
        let tenants: Vec<_> = tenants.collect::<Result<_>>()?;
        for clients in &tenants {
            start(clients, &mut rng);
            for neighbour in tenants.iter().filter(|other| other.tenant != clients.tenant) {
                let foreigner = Foreigner::new(clients.clone(), neighbour.clone(), StdRng::from_rng(&mut rng));
                clients.spawn(foreigner.run());
            }
        }
        Ok(Self { tenants })
    }

    /// Starts nothing new. What is under way is repeated until its outcome is known, or a few times, and streams go on.
    pub fn stop_new(&self) {
        self.tenants.iter().for_each(|clients| clients.no_more.cancel());
    }

    /// Starts nothing new and waits until every client is done: streams have shown all there is. Call it when every order has ended;
    /// clients that are not done a minute later are sent away.
    pub async fn join(self) {
        self.stop_new();
        let mut held_back = 0;
        join_all(self.tenants.iter().map(leave)).await;
        for clients in &self.tenants {
            held_back += clients.held_back.load(Relaxed);
        }
        let Some(clients) = self.tenants.first() else { return };
        let value = held_back as f64;
        clients.recorder.record(What::Measured { name: "orders and calls that were held back".into(), value });
    }
}

/// Starts the clients of a tenant.
fn start(clients: &Arc<Clients>, rng: &mut StdRng) {
    for n in 0..clients.settings.boards {
        let board = Board::new(clients.clone(), format!("board-{n}"), StdRng::from_rng(rng));
        clients.spawn(board.run());
    }
    for n in 0..clients.settings.couriers {
        let courier = Courier::new(clients.clone(), n, StdRng::from_rng(rng));
        clients.spawn(courier.run());
    }
    clients.spawn(Generator::new(clients.clone(), StdRng::from_rng(rng)).run());
}

/// Waits until every client of a tenant is done.
async fn leave(clients: &Arc<Clients>) {
    let Clients { last_look, tasks, shutdown, .. } = &**clients;
    last_look.cancel();
    tasks.close();
    if timeout(LAST_LOOK, tasks.wait()).await.is_err() {
        eprintln!("{} clients were not done in time", tasks.len());
        shutdown.cancel();
        tasks.wait().await;
    }
}
