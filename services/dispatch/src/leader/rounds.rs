//! Rounds: orders that wait get couriers.
//!
//! A round goes through the whole queue in pages. In each page, a single order that somebody may have gets its nearest courier at once. Several
//! are gathered until one of them has waited for a window, and are matched together. Orders that nobody may have now stay where they are and keep
//! no other waiting: each round looks at all of them, so a courier who becomes available gets one with the next round.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use comanda_kit::{
    backoff::{Backoff, sleep},
    lease::{Elector, Lease},
    postgres::StoreError,
    workflows::Workflows,
};
use comanda_proto::v1::WorkflowDispatch;
use metrics::{counter, histogram};
use time::OffsetDateTime;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{
    available::Available,
    trips::{Trip, Trips},
};
use crate::{
    allot::{Candidate, Pair, Wish, allot},
    change::By,
    decide::{Choice, claim, give_up, time_to_leave},
    grid::{Grid, Seen},
    model::{Case, JobState},
    place::CourierKey,
    store::{Claim, Position, Store},
    travel::Travel,
    wake::Wake,
};

/// How many orders are matched together at most.
const PAGE: usize = 256;
/// How many couriers each may get one of.
const CANDIDATES: usize = 8;
/// The longest rest between two rounds: what other replicas write is found after it.
const REST: Duration = Duration::from_millis(100);

/// The shortest: under load each call of this replica wakes the leader.
const PAUSE: Duration = Duration::from_millis(2);

/// How orders are given to couriers.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// For how long an order is offered; `None` gives it without asking.
    pub offer: Option<Duration>,
    /// How many couriers are tried for one order.
    pub attempts: i32,
    /// For how long orders are gathered.
    pub window: Duration,
}

/// Gives orders to couriers.
pub struct Rounds {
    store: Store,
    workflows: Workflows,
    grid: Arc<Grid>,
    travel: Arc<dyn Travel>,
    rules: Rules,
    wake: Arc<Wake>,
    relay: Arc<Notify>,
    available: Available,
    trips: Trips,
}

/// An order with the couriers that may have it.
struct Looked {
    case: Case,
    wish: Wish,
    /// For how long it has waited since its time came.
    waited: Duration,
}

impl Rounds {
    /// Rests until `wake` tells of something, and notifies `relay` of events.
    pub fn new(
        store: Store,
        workflows: Workflows,
        (grid, travel): (Arc<Grid>, Arc<dyn Travel>),
        rules: Rules,
        (wake, relay): (Arc<Wake>, Arc<Notify>),
    ) -> Self {
        let (available, trips) = (Available::default(), Trips::default());
        Self { store, workflows, grid, travel, rules, wake, relay, available, trips }
    }

    /// Goes on for as long as this replica leads, until `stop`.
    pub async fn run(mut self, elector: Elector, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while let Some(lease) = elector.held(&stop).await {
            let started = Instant::now();
            match self.round(lease).await {
                Ok(_) => {
                    backoff.reset();
                    self.rest(started.elapsed(), &stop).await;
                }
                Err(error) => {
                    warn!("a round of allotment failed; it is done again: {error}");
                    backoff.wait(&stop).await;
                }
            }
        }
    }

    /// Until something may have changed. A round that took long is followed by a rest as long, so that a queue that nobody can take does not
    /// keep the database busy.
    async fn rest(&self, took: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = self.wake.woken() => sleep(PAUSE, stop).await,
            () = sleep(REST.max(took), stop) => {}
        }
    }

    /// The next round reads again which couriers there are.
    pub fn forget(&mut self) {
        self.available.expire();
    }

    /// One round. Returns how many orders got a courier, or an offer.
    pub async fn round(&mut self, lease: Lease) -> Result<usize, StoreError> {
        let started = Instant::now();
        let (mut after, mut made, mut waiting) = (None, 0, HashSet::new());
        loop {
            let page = self.store.waiting(after, PAGE as i64).await?;
            let Some(last) = page.last() else { break };
            after = Some(position(last));
            let is_last = page.len() < PAGE;
            waiting.extend(page.iter().map(|case| case.job.order_id));
            made += self.page(page, lease).await?;
            if is_last || !lease.is_live() {
                break;
            }
        }
        self.trips.keep(&waiting);
        if made > 0 {
            histogram!("comanda_dispatch_round_seconds").record(started.elapsed());
        }
        Ok(made)
    }

    async fn page(&mut self, page: Vec<Case>, lease: Lease) -> Result<usize, StoreError> {
        self.available.refresh(&self.store, self.wake.take_changed()).await?;
        let order_ids: Vec<_> = page.iter().map(|case| case.job.order_id).collect();
        self.trips.load(&self.store, &order_ids).await?;
        let mut hopeless = Vec::new();
        let mut looked = Vec::new();
        for case in page {
            match (self.hopeless(&case), self.trips.get(&case.job.order_id)) {
                (None, Some(trip)) => looked.push(self.look(case, trip)),
                (reason, _) => hopeless.push((case, reason.unwrap_or("ORDER_ERASED"))),
            }
        }
        self.give_up(hopeless, lease).await?;
        looked.retain(|looked| !looked.wish.candidates.is_empty());
        if !self.is_time(&looked) { Ok(0) } else { self.claim(looked, lease).await }
    }

    /// Why the search for a courier is over.
    fn hopeless(&self, case: &Case) -> Option<&'static str> {
        (case.job.attempts >= self.rules.attempts).then_some("NO_COURIER")
    }

    async fn give_up(&self, cases: Vec<(Case, &'static str)>, lease: Lease) -> Result<(), StoreError> {
        let mut changes = Vec::with_capacity(cases.len());
        for (case, reason) in cases {
            changes.push(give_up(&self.dispatch(&case).await?, &case, reason));
        }
        let given_up = self.store.apply(changes, Some(lease)).await?;
        if !given_up.is_empty() {
            counter!("comanda_dispatch_given_up_total").increment(given_up.len() as u64);
            self.relay.notify_one();
        }
        Ok(())
    }

    /// A single order goes at once. Several are gathered until one of them has waited for a window.
    fn is_time(&self, looked: &[Looked]) -> bool {
        looked.len() == 1 || looked.iter().any(|looked| looked.waited >= self.rules.window)
    }

    /// The nearest couriers that may have an order; nobody while it is too early to set off.
    fn look(&self, case: Case, trip: &Trip) -> Looked {
        let (now, start) = (case.now, trip.row.start_time);
        let candidates = self.candidates(&case, trip);
        let shortest = candidates.iter().map(|candidate| candidate.seconds).min().unwrap_or_default();
        let leave = start.map(|start| time_to_leave(start, time::Duration::seconds(i64::from(shortest))));
        let since = case.job.waiting_since.max(case.job.not_before).max(leave.unwrap_or(OffsetDateTime::UNIX_EPOCH));
        // Negative while it is too early.
        let waited = Duration::try_from(now - since).ok();
        let bonus = i64::try_from(waited.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
        let wish = if waited.is_some() { Wish { bonus, candidates } } else { Wish::default() };
        Looked { case, wish, waited: waited.unwrap_or_default() }
    }

    fn candidates(&self, case: &Case, trip: &Trip) -> Vec<Candidate> {
        let Case { job, now, .. } = case;
        let begin = trip.row.start_time.map_or(*now, |start| start.max(*now));
        let silent_before = self.grid.silent_before(*now);
        let nearest = self.grid.nearest(&job.tenant, trip.pickup, CANDIDATES, |courier, seen| {
            silent_before.is_none_or(|before| seen.heard >= before)
                && self.available.may_have(courier, job, &trip.row, begin)
        });
        let way = |(courier, seen): (CourierKey, Seen)| Candidate {
            courier,
            seconds: self.travel.seconds(seen.point, trip.pickup, now.hour()),
        };
        nearest.into_iter().map(way).collect()
    }

    async fn claim(&mut self, mut looked: Vec<Looked>, lease: Lease) -> Result<usize, StoreError> {
        let wishes: Vec<_> = looked.iter_mut().map(|looked| std::mem::take(&mut looked.wish)).collect();
        let (wishes, pairs) = choose(wishes).await;
        let Some(time) = looked.iter().map(|looked| looked.case.now).max() else { return Ok(0) };
        let (mut claims, mut chosen) = (Vec::new(), BTreeMap::new());
        for (order, candidate) in pairs {
            let (case, candidate) = (&looked[order].case, &wishes[order].candidates[candidate]);
            claims.push(self.claim_of(&Case { now: time, ..case.clone() }, candidate).await?);
            chosen.insert(case.job.order_id, candidate.courier.clone());
        }
        let asked = claims.len();
        let made = self.store.claim(claims, time, &[JobState::Held, JobState::Waiting], Some(lease)).await?;
        self.note(&made, &chosen);
        if made.len() < asked {
            // A courier or an order is not as it was read.
            self.available.expire();
        }
        Ok(made.len())
    }

    async fn claim_of(&self, case: &Case, candidate: &Candidate) -> Result<Claim, StoreError> {
        let dispatch = self.dispatch(case).await?;
        let trip = self.trips.get(&case.job.order_id);
        let now = case.now;
        let way = time::Duration::seconds(i64::from(candidate.seconds));
        let start = trip.and_then(|trip| trip.row.start_time);
        let pickup = start.map_or(now + way, |start| start.max(now + way));
        let carry = trip.map_or(0, |trip| self.travel.seconds(trip.pickup, trip.dropoff, pickup.hour()));
        let choice = Choice {
            courier_id: candidate.courier.courier_id.to_string(),
            pickup,
            dropoff: pickup + time::Duration::seconds(i64::from(carry)),
            idle: self.available.idle_since(&candidate.courier).map(|since| now - since),
            offered_until: self.rules.offer.map(|offer| now + offer),
        };
        Ok(claim(&dispatch, case, choice, By::system("")))
    }

    fn note(&mut self, made: &[Uuid], chosen: &BTreeMap<Uuid, CourierKey>) {
        if made.is_empty() {
            return;
        }
        counter!("comanda_dispatch_assignments_total").increment(made.len() as u64);
        self.relay.notify_one();
        made.iter().filter_map(|order_id| chosen.get(order_id)).for_each(|courier| self.available.take(courier));
    }

    async fn dispatch(&self, case: &Case) -> Result<WorkflowDispatch, StoreError> {
        let workflow = self.workflows.get(&case.job.workflow, case.job.workflow_revision).await?;
        let missing = || StoreError::Unreadable(format!("workflow {} asks for no couriers", case.job.workflow));
        workflow.dispatch.clone().ok_or_else(missing)
    }
}

fn position(case: &Case) -> Position {
    (case.job.not_before, case.job.order_id)
}

/// Chooses; where there is much to compare, beside the tasks of the runtime.
async fn choose(wishes: Vec<Wish>) -> (Vec<Wish>, Vec<Pair>) {
    let work = move || {
        let pairs = allot(&wishes);
        (wishes, pairs)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(chosen) => chosen,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
