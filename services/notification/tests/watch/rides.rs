//! A world with couriers: rides, who has them, and where they are, when the test says so.

use std::time::{Duration, SystemTime};

use comanda_kit::access::DEFAULT_TENANT;
use comanda_proto::{
    LatLng,
    events::{AssignmentEvent, CourierLocation},
    topics,
    v1::{Phase, Workflow, WorkflowDispatch},
};
use prost::Message;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::fixture::World;

/// Rides beside the orders of a world.
pub struct Rides {
    pub world: World,
}

impl Rides {
    pub async fn new() -> Self {
        let rides = Self::without_topics().await;
        rides.create_topics().await;
        rides
    }

    /// Before dispatch has its topics.
    pub async fn without_topics() -> Self {
        let world = World::new().await;
        let dispatch = WorkflowDispatch {
            wanted_in: vec!["requested".into()],
            allotted: "confirmed".into(),
            picked_up: "on_trip".into(),
            completed: "completed".into(),
            withdrawn: "requested".into(),
            ..Default::default()
        };
        sqlx::query("INSERT INTO state_machine.workflows (name, revision, definition) VALUES ('ride', 1, $1)")
            .bind(Workflow { dispatch: Some(dispatch), ..Workflow::default() }.encode_to_vec())
            .execute(&world.sql)
            .await
            .expect("inserted");
        Self { world }
    }

    pub async fn create_topics(&self) {
        for topic in [topics::ASSIGNMENTS, topics::COURIER_LOCATIONS] {
            self.world.env.create_topic(topic).await.expect("made");
        }
    }

    /// A ride in status "requested", published.
    pub async fn ride(&self) -> Uuid {
        self.ride_of(DEFAULT_TENANT).await
    }

    pub async fn ride_of(&self, tenant: &str) -> Uuid {
        let order_id = self.world.order_of(tenant, "ana").await;
        let statements = [
            "UPDATE ordering.orders SET workflow = 'ride', first_status = 'requested' WHERE order_id = $1",
            "UPDATE state_machine.states SET workflow = 'ride', status = 'requested' WHERE order_id = $1",
            "UPDATE state_machine.transitions SET to_status = 'requested' WHERE order_id = $1",
        ];
        for statement in statements {
            sqlx::query(statement).bind(order_id).execute(&self.world.sql).await.expect("updated");
        }
        order_id
    }

    /// Moves a ride to a status; returns its version.
    pub async fn enter(&self, order_id: Uuid, status: &str) -> i64 {
        let phase = if status == "completed" { Phase::Succeeded } else { Phase::Active };
        let version = self.world.commit(order_id, 1, phase).await;
        let statements = [
            "UPDATE state_machine.transitions SET to_status = $2 WHERE order_id = $1 AND version = $3",
            "UPDATE state_machine.states SET status = $2 WHERE order_id = $1 AND version = $3",
        ];
        for statement in statements {
            let statement = sqlx::query(statement).bind(order_id).bind(status).bind(version);
            statement.execute(&self.world.sql).await.expect("updated");
        }
        self.world.publish(order_id, version..=version).await;
        version
    }

    /// Dispatch gives a ride to a courier, and says so.
    pub async fn allot(&self, order_id: Uuid, attempt: i32, courier_id: &str) {
        self.allot_silently(order_id, attempt, courier_id).await;
        self.hint(order_id).await;
    }

    /// The same before its event is published.
    pub async fn allot_silently(&self, order_id: Uuid, attempt: i32, courier_id: &str) {
        sqlx::query(
            "WITH tenant AS (
                 SELECT tenant FROM ordering.orders WHERE order_id = $1
             ), known AS (
                 INSERT INTO dispatch.couriers (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status)
                 SELECT tenant, $3, upper($3), 'white Corolla', 'ABCD-12', '', '', 9, 9, 2 FROM tenant
                 ON CONFLICT DO NOTHING
             )
             INSERT INTO dispatch.assignments (order_id, attempt, tenant, courier_id, slot, state, promised_pickup_time, expected_pickup_time)
             SELECT $1, $2, tenant, $3, (SELECT count(*) + 1 FROM dispatch.assignments), 2, now() + interval '7 min', now() + interval '7 min'
             FROM tenant",
        )
        .bind(order_id)
        .bind(attempt)
        .bind(courier_id)
        .execute(&self.world.sql)
        .await
        .expect("allotted");
    }

    /// Dispatch ends what a ride has open, and says so.
    pub async fn release(&self, order_id: Uuid) {
        let release = "UPDATE dispatch.assignments
                       SET ended_at = now(), state = 3, outcome = 4
                       WHERE order_id = $1 AND ended_at IS NULL";
        sqlx::query(release).bind(order_id).execute(&self.world.sql).await.expect("released");
        self.hint(order_id).await;
    }

    /// The pickup is promised, or expected, so many seconds from now.
    pub async fn expect(&self, order_id: Uuid, promised_in: f64, expected_in: f64) {
        sqlx::query(
            "UPDATE dispatch.assignments
             SET promised_pickup_time = now() + make_interval(secs => $2), expected_pickup_time = now() + make_interval(secs => $3)
             WHERE order_id = $1 AND ended_at IS NULL",
        )
        .bind(order_id)
        .bind(promised_in)
        .bind(expected_in)
        .execute(&self.world.sql)
        .await
        .expect("updated");
        self.hint(order_id).await;
    }

    /// An event of the ride's assignment.
    pub async fn hint(&self, order_id: Uuid) {
        let event = AssignmentEvent { order_id: order_id.to_string(), version: 1, ..AssignmentEvent::default() };
        let records = [(order_id.to_string(), event.encode_to_vec())];
        self.world.env.produce(topics::ASSIGNMENTS, &records).await.expect("published");
    }

    /// A courier is at a latitude.
    pub async fn locate(&self, tenant: &str, courier_id: &str, latitude: f64) {
        let location = location(tenant, courier_id, latitude);
        self.world.env.produce(topics::COURIER_LOCATIONS, &[location]).await.expect("published");
    }

    /// A courier moves north from a latitude, step by step, until the handle is dropped.
    pub fn moving(&self, tenant: &'static str, courier_id: &'static str, from: f64) -> AbortOnDropHandle<()> {
        let env = self.world.env.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut steps = tokio::time::interval(Duration::from_millis(50));
            for step in 0.. {
                steps.tick().await;
                let location = location(tenant, courier_id, from + f64::from(step) * 0.001_234_567);
                env.produce(topics::COURIER_LOCATIONS, &[location]).await.expect("published");
            }
        }))
    }
}

fn location(tenant: &str, courier_id: &str, latitude: f64) -> (String, Vec<u8>) {
    let location = CourierLocation {
        courier_id: courier_id.into(),
        tenant: tenant.into(),
        position: Some(LatLng { latitude, longitude: -70.654_321 }),
        record_time: Some(SystemTime::now().into()),
        accuracy_meters: 5.0,
    };
    (courier_id.into(), location.encode_to_vec())
}
