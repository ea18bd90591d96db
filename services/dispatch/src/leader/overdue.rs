//! What somebody should have done and did not: offers without an answer, couriers who fell silent, steps that no version of the order answered.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use comanda_kit::{
    backoff::sleep,
    lease::{Elector, Lease},
    postgres::StoreError,
    workflows::Workflows,
};
use comanda_proto::v1::AssignmentOutcome;
use metrics::counter;
use time::OffsetDateTime;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::{
    change::{By, Change, couriers},
    consumer::Follower,
    decide::{alarm, refuse, take_back},
    grid::{Grid, SILENCE},
    model::Case,
    store::Store,
    wake::Wake,
};

/// How often offers are looked at.
const OFFERS: Duration = Duration::from_millis(100);
/// How often everything else is.
const CHECK: Duration = Duration::from_secs(5);
/// A step that no version has answered for so long may have been lost.
const UNANSWERED: Duration = Duration::from_secs(30);
/// How much one statement reads.
const BATCH: i64 = 500;

/// Looks after what is overdue.
pub struct Overdue {
    store: Store,
    workflows: Workflows,
    grid: Arc<Grid>,
    follower: Follower,
    wake: Arc<Wake>,
    relay: Arc<Notify>,
    /// Assignments of couriers who fell silent after the pickup, and were told of.
    alarmed: HashSet<(Uuid, i32)>,
}

impl Overdue {
    /// `wake` tells of orders that wait again, `relay` is notified of events. `follower` applies what is found out about orders.
    pub fn new(
        store: Store,
        workflows: Workflows,
        grid: Arc<Grid>,
        follower: Follower,
        (wake, relay): (Arc<Wake>, Arc<Notify>),
    ) -> Self {
        Self { store, workflows, grid, follower, wake, relay, alarmed: HashSet::new() }
    }

    /// Goes on for as long as this replica leads, until `stop`.
    pub async fn run(mut self, elector: Elector, stop: CancellationToken) {
        let mut checked = Instant::now();
        while let Some(lease) = elector.held(&stop).await {
            if let Err(error) = self.expire_offers(lease).await {
                warn!("offers stay open: {error}");
            }
            if checked.elapsed() >= CHECK {
                checked = Instant::now();
                if let Err(error) = self.check(lease).await {
                    warn!("couriers and steps were not looked at: {error}");
                }
            }
            sleep(OFFERS, &stop).await;
        }
    }

    async fn check(&mut self, lease: Lease) -> Result<(), StoreError> {
        self.release_silent(lease).await?;
        self.repeat_steps(lease, UNANSWERED).await?;
        self.store.forget_requests(BATCH).await.map(drop)
    }

    /// Ends offers that nobody answered in time; their orders wait for others. Returns how many.
    pub async fn expire_offers(&self, lease: Lease) -> Result<usize, StoreError> {
        let expired = self.store.expired(BATCH).await?;
        let by = By::system("OFFER_EXPIRED");
        let changes = expired.iter().map(|case| refuse(case, AssignmentOutcome::Expired, by)).collect();
        self.apply(changes, lease).await
    }

    /// Takes orders from couriers who were not heard from before the pickup, and tells of those who were not after it. Returns how many
    /// orders were released.
    pub async fn release_silent(&mut self, lease: Lease) -> Result<usize, StoreError> {
        let (mut after, mut released, mut silent_now) = (None, 0, HashSet::new());
        loop {
            let page = self.store.active(after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.job.order_id);
            let is_last = page.len() < BATCH as usize;
            let silent = page.into_iter().filter(|case| self.is_silent(case));
            let (carrying, before_pickup): (Vec<_>, Vec<_>) = silent.partition(has_picked_up);
            released += self.release(&before_pickup, lease).await?;
            silent_now.extend(carrying.iter().filter_map(key));
            self.alarm(&carrying, lease).await?;
            if is_last {
                break;
            }
        }
        self.alarmed.retain(|known| silent_now.contains(known));
        Ok(released)
    }

    /// A courier that got the order while it was not heard from has as long as any other. One that was never heard from tells no positions.
    fn is_silent(&self, case: &Case) -> bool {
        let Some(assignment) = &case.assignment else { return false };
        let (Some(before), Some(seen)) =
            (self.grid.silent_before(case.now), self.grid.last_seen(&assignment.courier()))
        else {
            return false;
        };
        let last: OffsetDateTime = assignment.allot_time.map_or(seen.heard, |allotted| seen.heard.max(allotted));
        last < before
    }

    async fn release(&self, cases: &[Case], lease: Lease) -> Result<usize, StoreError> {
        let mut changes = Vec::with_capacity(cases.len());
        for case in cases {
            let workflow = self.workflows.get(&case.job.workflow, case.job.workflow_revision).await?;
            let Some(dispatch) = &workflow.dispatch else { continue };
            changes.push(take_back(dispatch, case, AssignmentOutcome::CourierSilent, By::system("COURIER_SILENT")));
        }
        let released = self.apply(changes, lease).await?;
        counter!("comanda_dispatch_silent_released_total").increment(released as u64);
        Ok(released)
    }

    async fn alarm(&mut self, cases: &[Case], lease: Lease) -> Result<(), StoreError> {
        let new: Vec<_> =
            cases.iter().filter(|case| key(case).is_some_and(|key| !self.alarmed.contains(&key))).collect();
        for case in &new {
            let order_id = case.job.order_id;
            warn!(%order_id, "the courier has not been heard from for {SILENCE:?} since it picked the order up");
            counter!("comanda_dispatch_silent_carrying_total").increment(1);
        }
        self.apply(new.iter().map(|case| alarm(case)).collect(), lease).await?;
        self.alarmed.extend(new.into_iter().filter_map(key));
        Ok(())
    }

    /// Looks after steps that no version of the order has answered: where there is a newer version, its record was lost and it is applied here;
    /// elsewhere the job's events are published again.
    pub async fn repeat_steps(&self, lease: Lease, older_than: Duration) -> Result<(), StoreError> {
        let unanswered = self.store.unanswered(older_than, BATCH).await?;
        if unanswered.is_empty() {
            return Ok(());
        }
        let orders: Vec<_> = unanswered.iter().map(|(order_id, _)| *order_id).collect();
        let present = self.store.present(&orders).await?;
        let known: HashMap<_, _> = unanswered.into_iter().collect();
        let (newer, same): (Vec<_>, Vec<_>) = present
            .into_iter()
            .partition(|seen| known.get(&seen.order_id).is_some_and(|version| seen.version > *version));
        self.follower.follow(newer).await?;
        let same: Vec<_> = same.into_iter().map(|seen| seen.order_id).collect();
        if !same.is_empty() {
            warn!(orders = same.len(), "steps were not answered: their events are published again");
            self.store.repeat_events(&same, lease).await?;
            self.relay.notify_one();
        }
        Ok(())
    }

    async fn apply(&self, changes: Vec<Change>, lease: Lease) -> Result<usize, StoreError> {
        let couriers = couriers(&changes);
        let applied = self.store.apply(changes, Some(lease)).await?.len();
        if applied > 0 {
            self.wake.couriers(couriers);
            self.relay.notify_one();
        }
        Ok(applied)
    }
}

fn has_picked_up(case: &Case) -> bool {
    case.assignment.as_ref().is_some_and(|assignment| assignment.pickup_time.is_some())
}

fn key(case: &Case) -> Option<(Uuid, i32)> {
    case.assignment.as_ref().map(|assignment| (assignment.order_id, assignment.attempt))
}
