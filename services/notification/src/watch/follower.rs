//! Shows one order's courier to one stream.

use std::{
    future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use comanda_kit::{access::Scope, backoff::Backoff};
use comanda_proto::{
    v1::{CourierUpdate, Order, Workflow},
    views::CourierRow,
};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;
use uuid::Uuid;

use super::{
    couriers::Couriers,
    latest::Followed,
    place::{CourierKey, Place},
    told::{self, Told},
};
use crate::courier::{InHands, is_shown};

/// What a stream has of its order's courier.
pub struct Follower {
    couriers: Arc<Couriers>,
    tenant: String,
    order_id: Uuid,
    workflow: Arc<Workflow>,
    /// While the order's status shows a courier.
    shown: Option<Shown>,
    told: Option<Told>,
}

/// What is known while a courier is shown.
struct Shown {
    hints: Followed<Uuid, u64>,
    /// Whether the store is to be asked.
    is_stale: bool,
    courier: Option<(CourierRow, Followed<CourierKey, Option<Place>>)>,
    /// Whether the job is done: the order's end follows, and is told by the order itself.
    is_done: bool,
}

impl Follower {
    /// What shows the courier of an order to its stream; `None` where the order never has one. A workflow that cannot be read counts as one
    /// without couriers: the stream itself needs none.
    pub async fn of(order: &Order, scope: &Scope, couriers: &Arc<Couriers>) -> Option<Self> {
        let order_id = Uuid::try_parse(&order.order_id).ok()?;
        let workflow = couriers.workflows.get(&order.workflow, order.workflow_revision).await;
        let workflow = workflow.inspect_err(|error| warn!(%order_id, "a watch shows no courier: {error}")).ok()?;
        workflow.dispatch.as_ref()?;
        let (couriers, tenant) = (couriers.clone(), scope.tenant().to_owned());
        let mut follower = Self { couriers, tenant, order_id, workflow, shown: None, told: None };
        follower.enter(&order.status);
        Some(follower)
    }

    /// The order has this status, which the stream has told.
    pub fn enter(&mut self, status: &str) {
        match &mut self.shown {
            _ if !is_shown(&self.workflow, status) => self.shown = None,
            Some(shown) => shown.is_stale = true,
            None => {
                // Before the store is asked: what happens in between is then hinted at.
                let hints = self.couriers.hints.follow(self.order_id);
                self.shown = Some(Shown { hints, is_stale: true, courier: None, is_done: false });
            }
        }
    }

    /// Waits until there is something to tell. Nothing is lost where the returned future is dropped.
    pub async fn next(&mut self) -> CourierUpdate {
        loop {
            self.refresh().await;
            let Some(update) = self.update() else {
                self.changed().await;
                continue;
            };
            let due = told::due(self.told.as_ref(), &update, Instant::now(), self.couriers.interval);
            tokio::select! {
                biased;
                () = wait_until(due) => {
                    self.told = Some(Told { update: update.clone(), at: Instant::now() });
                    return update;
                }
                () = self.changed() => {}
            }
        }
    }

    /// What was told last.
    pub fn told(&self) -> Option<&CourierUpdate> {
        self.told.as_ref().map(|told| &told.update)
    }

    /// What holds now; empty where the order has no courier, `None` where nothing is to be told any more.
    fn update(&self) -> Option<CourierUpdate> {
        let Some(shown) = &self.shown else { return Some(CourierUpdate::default()) };
        match &shown.courier {
            Some((row, place)) => Some(told::update(row, place.value(), SystemTime::now())),
            None => (!shown.is_done).then(CourierUpdate::default),
        }
    }

    /// Completes when something may have changed.
    async fn changed(&mut self) {
        let Some(shown) = &mut self.shown else { return future::pending().await };
        let moved = async {
            match &mut shown.courier {
                Some((_, place)) => place.changed().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = shown.hints.changed() => shown.is_stale = true,
            () = moved => {}
        }
    }

    /// Asks the store where it is to be asked, for as long as it takes.
    async fn refresh(&mut self) {
        let Some(shown) = self.shown.as_mut().filter(|shown| shown.is_stale) else { return };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let in_hands = loop {
            match self.couriers.store.in_hands(&self.tenant, self.order_id, &self.workflow).await {
                Ok(in_hands) => break in_hands,
                Err(error) => warn!(order_id = %self.order_id, "a watch waits for its courier: {error}"),
            }
            sleep(backoff.next_delay()).await;
        };
        shown.take(in_hands, &self.couriers);
    }
}

impl Shown {
    /// Takes in what the store says.
    fn take(&mut self, in_hands: InHands, couriers: &Couriers) {
        (self.is_stale, self.is_done) = (false, matches!(in_hands, InHands::Done));
        let known = self.courier.take().map(|(_, place)| place);
        if let InHands::Of(row) = in_hands {
            let key = (row.tenant.clone(), row.courier_id.clone());
            let place = known.filter(|place| *place.key() == key).unwrap_or_else(|| couriers.places.follow(key));
            self.courier = Some((*row, place));
        }
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => future::pending().await,
    }
}
