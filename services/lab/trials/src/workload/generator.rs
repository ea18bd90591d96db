//! What makes clients begin: an open loop, which asks for orders at its rate whatever becomes of them.

use std::{sync::Arc, time::Duration};

use comanda_checker::history::Order;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    bad,
    clients::{Clients, KnownOrder},
    content,
    create::Creator,
    moves::Mover,
    reads, shuffle,
    watch::{Seen, Watcher},
};

const TICK: Duration = Duration::from_millis(20);
/// What is owed for a time in which this process did not run, at most.
const MOST_OWED: Duration = Duration::from_secs(1);

/// The open loop.
pub(super) struct Generator {
    clients: Arc<Clients>,
    rng: StdRng,
    /// Of all clients that it started.
    started: u64,
}

impl Generator {
    pub(super) fn new(clients: Arc<Clients>, rng: StdRng) -> Self {
        Self { clients, rng, started: 0 }
    }

    /// Until nothing new is to be started.
    pub(super) async fn run(mut self) {
        let (mut ticks, mut last, mut owed) = (interval(TICK), Instant::now(), 0.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let no_more = self.clients.no_more.clone();
        while no_more.run_until_cancelled(ticks.tick()).await.is_some() {
            let passed = last.elapsed().min(MOST_OWED);
            last = Instant::now();
            owed += passed.as_secs_f64() * self.clients.settings.orders_per_second;
            while owed >= 1.0 {
                let orders = self.draw_orders();
                owed -= orders as f64;
                self.begin(orders);
            }
        }
    }

    fn draw_orders(&mut self) -> usize {
        if self.rng.random_bool(self.clients.settings.batches) { self.rng.random_range(2..=20) } else { 1 }
    }

    fn begin(&mut self, orders: usize) {
        self.begin_creating(orders);
        let (reads, bad_calls) = (self.clients.settings.reads, self.clients.settings.bad_calls);
        for _ in 0..orders {
            if self.rng.random_bool(reads.clamp(0.0, 1.0)) {
                self.begin_call("reader", reads::read);
            }
            if self.rng.random_bool(bad_calls.clamp(0.0, 1.0)) {
                self.begin_call("stranger", bad::call);
            }
        }
    }

    fn begin_creating(&mut self, orders: usize) {
        let Some(place) = Clients::place(&self.clients.calls) else {
            return self.clients.hold_back(orders);
        };
        let (clients, name, rng) = self.client("creator");
        let mut creator = Creator { clients: clients.clone(), name, rng };
        clients.clone().spawn(async move {
            let created = creator.create(orders).await;
            drop(place);
            for order in created {
                follow(&clients, order, &mut creator.rng);
            }
        });
    }

    fn begin_call<F>(&mut self, kind: &str, call: impl FnOnce(Arc<Clients>, String, StdRng) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(place) = Clients::place(&self.clients.calls) else {
            return self.clients.hold_back(1);
        };
        let (clients, name, rng) = self.client(kind);
        let call = call(clients.clone(), name, rng);
        clients.spawn(async move {
            call.await;
            drop(place);
        });
    }

    fn client(&mut self, kind: &str) -> (Arc<Clients>, String, StdRng) {
        self.started += 1;
        (self.clients.clone(), format!("{kind}-{}", self.started), StdRng::from_rng(&mut self.rng))
    }
}

/// How many watch an order where so many do on average.
fn watchers(average: f64, rng: &mut StdRng) -> usize {
    average as usize + usize::from(rng.random_bool(average.fract()))
}

/// What clients do with an order that was accepted.
fn follow(clients: &Arc<Clients>, order: Order, rng: &mut StdRng) {
    let Order { order_id, number, customer_id, .. } = order.clone();
    clients.known.add(KnownOrder { order_id: order_id.clone(), number, customer_id });
    for n in 0..watchers(clients.settings.watched, rng) {
        let Some(_place) = Clients::place(&clients.streams) else { break };
        let (name, mut rng) = (format!("watcher-{number}-{n}"), StdRng::from_rng(rng));
        let (order_id, by_http, seen) = (order_id.clone(), clients.goes_by_http(&mut rng), Seen::default());
        clients.spawn(Watcher { clients: clients.clone(), name, rng, order_id, by_http, seen, _place }.run());
    }
    if order.workflow == content::RIDE && clients.settings.shuffled > 0.0 && rng.random_bool(clients.settings.shuffled)
    {
        let (name, rng) = (format!("shuffler-{number}"), StdRng::from_rng(rng));
        return clients.spawn(shuffle::shuffle(clients.clone(), name, order, rng));
    }
    if rng.random_bool(clients.settings.moved)
        && let Some(place) = Clients::place(&clients.movers)
    {
        let mover =
            Mover { clients: clients.clone(), name: format!("mover-{number}"), rng: StdRng::from_rng(rng), order };
        clients.spawn(async move {
            mover.run().await;
            drop(place);
        });
    }
}
