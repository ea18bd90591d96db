//! A replica of dispatch, stepped, and a state machine that takes its steps.

use std::{collections::HashSet, sync::Arc};

use anyhow::{Context, Result};
use comanda_dispatch::{
    Config,
    assign::{self, Assign},
    commands::{self, Action, Commands, Outcome},
    consumer::Follower,
    grid::{Grid, Seen as Position},
    leader::{overdue::Overdue, rounds::Rounds},
    place::{CourierKey, Point},
    store::{Seen, Store},
    travel::StraightLine,
    wake::Wake,
};
use comanda_kit::{
    access::Scope,
    lease::{Elector, Lease},
    relay::Relay,
    workflows::Workflows,
};
use comanda_proto::{events::AssignmentEvent, topics, v1::Phase};
use prost::Message;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tonic::Status;
use uuid::Uuid;

use super::fixture::{Fixture, PICKUP, RIDE, TENANT, config, reason};

/// Which steps the workflow `ride` allows, beside those that the tests take by hand.
const EDGES: [(&str, &str); 10] = [
    ("requested", "confirmed"),
    ("requested", "no_driver"),
    ("confirmed", "arriving"),
    ("arriving", "on_trip"),
    ("on_trip", "completed"),
    ("confirmed", "requested"),
    ("arriving", "requested"),
    ("preparing", "dispatched"),
    ("dispatched", "delivered"),
    ("received", "preparing"),
];

pub struct Stepper {
    pub elector: Elector,
    pub rounds: Rounds,
    pub overdue: Overdue,
    pub follower: Follower,
    pub commands: Commands,
    pub assign: Assign,
    pub relay: Relay<Store>,
    pub grid: Arc<Grid>,
    pub store: Store,
    /// Events whose steps were taken or refused.
    taken: HashSet<(Uuid, i64)>,
}

impl Stepper {
    pub fn new(fixture: &Fixture, config: &Config) -> Result<Self> {
        let (pool, store) = (fixture.pool()?, fixture.store()?);
        let kafka = fixture.environment.kafka.clone();
        let (workflows, nudge) = (Workflows::new(pool.clone()), Arc::new(Notify::new()));
        let wake = Arc::new(Wake::default());
        let nudges = (wake.clone(), nudge.clone());
        let grid = Arc::new(Grid::default());
        let travel = Arc::new(StraightLine { kmh: config.courier_kmh });
        let follower = Follower::new(store.clone(), workflows.clone(), wake.clone(), nudge.clone());
        let places = (grid.clone(), travel.clone() as Arc<dyn comanda_dispatch::travel::Travel>);
        let topic = kafka.topic(topics::ASSIGNMENTS);
        Ok(Self {
            elector: Elector::new(pool.clone()),
            rounds: Rounds::new(store.clone(), workflows.clone(), places.clone(), config.rules(), nudges.clone()),
            overdue: Overdue::new(store.clone(), workflows.clone(), grid.clone(), follower.clone(), nudges.clone()),
            commands: Commands::new(store.clone(), workflows.clone(), wake, nudge.clone()),
            assign: Assign::new(store.clone(), workflows, follower.clone(), places, nudges),
            relay: Relay::new(pool, store.clone(), kafka, topic, nudge)?,
            follower,
            grid,
            store,
            taken: HashSet::new(),
        })
    }

    /// One with a ride that courier c-1 got, which is not confirmed yet.
    pub async fn allotted(fixture: &Fixture) -> Result<(Self, Uuid)> {
        let mut stepper = Self::new(fixture, &config())?;
        fixture.courier(TENANT, "c-1", 1).await?;
        stepper.heard("c-1", 100.0);
        let ride = fixture.place(RIDE).await?;
        stepper.see(&[ride]).await?;
        stepper.round().await?;
        Ok((stepper, ride))
    }

    /// Takes or renews the lease, which must be free or its own.
    pub async fn lead(&self) -> Result<Lease> {
        self.elector.ask().await?.context("another replica leads")
    }

    /// One round, with couriers read again.
    pub async fn round(&mut self) -> Result<usize> {
        let lease = self.lead().await?;
        self.rounds.forget();
        Ok(self.rounds.round(lease).await?)
    }

    /// A courier was heard from just now, so many metres north of [`PICKUP`].
    pub fn heard(&self, courier_id: &str, metres: f64) {
        self.heard_at(TENANT, courier_id, metres, OffsetDateTime::now_utc());
    }

    pub fn heard_at(&self, tenant: &str, courier_id: &str, metres: f64, time: OffsetDateTime) {
        let point = Point::new(PICKUP.0 + metres / 111_195.0, PICKUP.1).expect("on earth");
        self.grid.note(CourierKey::new(tenant, courier_id), Position { point, time, heard: time });
    }

    /// Tells dispatch of orders as they are now, as their records would.
    pub async fn see(&self, orders: &[Uuid]) -> Result<()> {
        Ok(self.follower.follow(self.store.present(orders).await?).await?)
    }

    /// The state machine takes the steps of all events that it has not seen, and dispatch consumes what came of them, until nothing is new.
    /// Returns how many steps were taken.
    pub async fn settle(&mut self, fixture: &Fixture) -> Result<usize> {
        let mut taken = 0;
        loop {
            let moved = self.take_steps(fixture).await?;
            if moved.is_empty() {
                return Ok(taken);
            }
            taken += moved.len();
            self.follower.follow(moved).await?;
        }
    }

    /// The state machine takes the steps of all events that it has not seen. Returns what its records will tell.
    pub async fn take_steps(&mut self, fixture: &Fixture) -> Result<Vec<Seen>> {
        let rows: Vec<(Uuid, i64, Vec<u8>)> =
            sqlx::query_as("SELECT order_id, version, content FROM dispatch.events ORDER BY order_id, version")
                .fetch_all(&fixture.sql)
                .await?;
        let mut moved = Vec::new();
        for (order_id, version, content) in rows {
            let event = AssignmentEvent::decode(&*content)?;
            let Some(step) = event.step.filter(|_| self.taken.insert((order_id, version))) else { continue };
            let from = fixture.status(order_id).await?;
            let is_allowed =
                from.0 == step.expected_version && EDGES.contains(&(from.1.as_str(), step.to_status.as_str()));
            if is_allowed && fixture.step(order_id, &from, &step.to_status, phase(&step.to_status)).await? {
                moved.extend(self.store.present(&[order_id]).await?);
            }
        }
        Ok(moved)
    }

    pub async fn command(&self, action: Action, order_id: Uuid, attempt: i32) -> Result<Outcome, Status> {
        self.command_of(Scope::built_in(), action, order_id, attempt).await
    }

    pub async fn command_of(
        &self,
        scope: Scope,
        action: Action,
        order_id: Uuid,
        attempt: i32,
    ) -> Result<Outcome, Status> {
        let reason = "flat tyre".into();
        self.commands
            .carry_out(&commands::Request { scope, order_id, attempt, action, reason })
            .await
            .map_err(Status::from)
    }

    pub async fn give(&self, order_id: Uuid, courier_id: &str, request_id: Option<Uuid>) -> Result<Outcome, Status> {
        let scope = Scope::built_in();
        self.assign
            .carry_out(&assign::Request { scope, order_id, courier_id: courier_id.into(), request_id })
            .await
            .map_err(Status::from)
    }

    /// Publishes until nothing is left.
    pub async fn publish_all(&mut self) -> Result<()> {
        while self.relay.publish_next(self.lead().await?).await? > 0 {}
        Ok(())
    }
}

fn phase(status: &str) -> Phase {
    match status {
        "completed" | "delivered" => Phase::Succeeded,
        "no_driver" => Phase::Failed,
        _ => Phase::Active,
    }
}

/// The reason that an error carries.
pub fn refused<T>(result: Result<T, Status>) -> String {
    reason(&result.err().expect("must be refused"))
}
