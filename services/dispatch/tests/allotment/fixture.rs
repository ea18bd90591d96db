//! What the tests start from: a database, topics, orders with trips, couriers.

use anyhow::Result;
use comanda_dispatch::{App, Config, SCHEMA, store::Store};
use comanda_kit::{
    access::{Access, Scope},
    postgres,
    shutdown::Tasks,
    testing::{Environment, Replica},
};
use comanda_proto::{
    events::AssignmentEvent,
    topics,
    v1::{
        CourierStatus, Item, Order, Phase, Trip, Workflow, WorkflowDispatch, WorkflowStatus,
        dispatch_service_client::DispatchServiceClient,
    },
};
use prost::Message;
use sqlx::{AssertSqlSafe, FromRow, PgPool};
use time::OffsetDateTime;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

/// The tenant of the built-in caller.
pub const TENANT: &str = "default";
/// Where orders are picked up unless said otherwise: latitude and longitude.
pub const PICKUP: (f64, f64) = (40.4168, -3.7038);

pub type Client = DispatchServiceClient<Channel>;

/// Topics, and a database that knows the workflows `ride` and `courier-delivery`.
pub struct Fixture {
    pub environment: Environment,
    /// The database as the tests look at it and meddle with it.
    pub sql: PgPool,
}

/// An assignment as the database has it, in short.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Row {
    pub order_id: Uuid,
    pub attempt: i32,
    pub courier_id: String,
    pub state: i16,
    pub outcome: i16,
    pub confirmed: bool,
}

/// An order to place.
#[derive(Clone, Debug)]
pub struct Placed<'p> {
    pub tenant: &'p str,
    pub workflow: &'p str,
    pub status: &'p str,
    pub pickup: (f64, f64),
    pub start_time: Option<OffsetDateTime>,
    pub load: i32,
    pub vehicle_kind: &'p str,
    pub zone: &'p str,
}

/// A ride of the tenant [`TENANT`] from [`PICKUP`], now.
pub const RIDE: Placed<'static> = Placed {
    tenant: TENANT,
    workflow: "ride",
    status: "requested",
    pickup: PICKUP,
    start_time: None,
    load: 1,
    vehicle_kind: "",
    zone: "",
};

impl Fixture {
    pub async fn new() -> Result<Self> {
        let environment = Environment::without_topics().await?;
        for topic in [topics::ORDER_TRANSITIONS, topics::ASSIGNMENTS, topics::COURIER_LOCATIONS] {
            environment.create_topic(topic).await?;
        }
        let fixture = Self { sql: environment.sql().await?, environment };
        fixture.store_workflow(&ride()).await?;
        fixture.store_workflow(&delivery()).await?;
        Ok(fixture)
    }

    async fn store_workflow(&self, workflow: &Workflow) -> Result<()> {
        let content = Workflow { name: String::new(), revision: 0, ..workflow.clone() };
        sqlx::query("INSERT INTO state_machine.workflows (name, revision, definition) VALUES ($1, 1, $2)")
            .bind(&workflow.name)
            .bind(content.encode_to_vec())
            .execute(&self.sql)
            .await?;
        Ok(())
    }

    /// The service's own access to its schema.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::new(self.pool()?))
    }

    pub fn pool(&self) -> Result<PgPool> {
        postgres::pool(&self.environment.postgres, SCHEMA)
    }

    /// A replica of the whole service, and a client of it.
    pub async fn start(&self, caller: Scope, config: Config) -> Result<(Replica, Client)> {
        let tasks = Tasks::new();
        let app = App::build(&config, &self.environment.postgres, &self.environment.kafka)?;
        let replica = Replica::serve_to(Access::everyone_is(caller), vec![app.start(&tasks)?], tasks)?;
        replica.serves("comanda.v1.DispatchService").await;
        let client = DispatchServiceClient::new(replica.connect().await?);
        Ok((replica, client))
    }

    /// An order as ordering and the state machine have it, in version 1.
    pub async fn place(&self, placed: Placed<'_>) -> Result<Uuid> {
        let order_id = Uuid::now_v7();
        let trip = Trip { load: placed.load, ..Trip::default() };
        let items = vec![Item { name: "seat".into(), ..Item::default() }];
        let content = Order { items, trip: Some(trip), ..Order::default() }.encode_to_vec();
        sqlx::query(
            "WITH placed AS (
                 INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                              total_units, total_nanos, item_count, workflow, workflow_revision, first_status, start_time)
                 VALUES ($1, $2, 1042, 'c-1', '', '', '', $3, 'EUR', 12, 0, 1, $4, 1, $5, $6)
             ), adopted AS (
                 INSERT INTO state_machine.states (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
                 VALUES ($1, $2, $4, 1, 1, $5, 1, now(), 'infinity')
             )
             INSERT INTO ordering.trips (order_id, tenant, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude,
                                         load, vehicle_kind, zone)
             VALUES ($1, $2, $7, $8, $7 + 0.02, $8, $9, $10, $11)",
        )
        .bind(order_id)
        .bind(placed.tenant)
        .bind(content)
        .bind(placed.workflow)
        .bind(placed.status)
        .bind(placed.start_time)
        .bind(placed.pickup.0)
        .bind(placed.pickup.1)
        .bind(placed.load)
        .bind(placed.vehicle_kind)
        .bind(placed.zone)
        .execute(&self.sql)
        .await?;
        Ok(order_id)
    }

    /// Moves an order as the state machine does, whatever its workflow says. Returns its new version.
    pub async fn advance(&self, order_id: Uuid, status: &str, phase: Phase) -> Result<i64> {
        let moved = sqlx::query_scalar(
            "UPDATE state_machine.states SET version = version + 1, status = $2, phase = $3 WHERE order_id = $1 RETURNING version",
        );
        Ok(moved.bind(order_id).bind(status).bind(phase as i16).fetch_one(&self.sql).await?)
    }

    /// Moves an order as a step of dispatch does: only while it has this version and status. Whether it did.
    pub async fn step(&self, order_id: Uuid, from: &(i64, String), status: &str, phase: Phase) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE state_machine.states SET version = version + 1, status = $4, phase = $5
             WHERE order_id = $1 AND version = $2 AND status = $3",
        );
        let moved = moved.bind(order_id).bind(from.0).bind(&from.1).bind(status).bind(phase as i16);
        Ok(moved.execute(&self.sql).await?.rows_affected() > 0)
    }

    /// Version and status of an order.
    pub async fn status(&self, order_id: Uuid) -> Result<(i64, String)> {
        let statement = sqlx::query_as("SELECT version, status FROM state_machine.states WHERE order_id = $1");
        Ok(statement.bind(order_id).fetch_one(&self.sql).await?)
    }

    /// A courier that takes jobs, of this capacity.
    pub async fn courier(&self, tenant: &str, courier_id: &str, capacity: i32) -> Result<()> {
        let statement = sqlx::query(
            "INSERT INTO dispatch.couriers (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status, idle_since)
             VALUES ($1, $2, 'Ana', 'white Corolla', '1234 ABC', '', '', $3, 10, $4, now() - interval '1 minute')",
        );
        let statement = statement.bind(tenant).bind(courier_id).bind(capacity);
        statement.bind(CourierStatus::Available as i16).execute(&self.sql).await?;
        Ok(())
    }

    pub async fn run(&self, statement: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.sql).await?;
        Ok(())
    }

    /// The one number that a query gives.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.sql).await.expect("a query of one number")
    }

    /// Every assignment, in the order of creation.
    pub async fn assignments(&self) -> Result<Vec<Row>> {
        let statement = sqlx::query_as(
            "SELECT order_id, attempt, courier_id, state, outcome, confirm_time IS NOT NULL AS confirmed
             FROM dispatch.assignments ORDER BY create_time, order_id, attempt",
        );
        Ok(statement.fetch_all(&self.sql).await?)
    }

    /// The assignments of an order.
    pub async fn of_order(&self, order_id: Uuid) -> Result<Vec<Row>> {
        Ok(self.assignments().await?.into_iter().filter(|row| row.order_id == order_id).collect())
    }

    /// The open assignment of an order.
    pub async fn open(&self, order_id: Uuid) -> Result<Option<Row>> {
        Ok(self.of_order(order_id).await?.into_iter().find(|row| row.state < 3))
    }

    /// The state of an order's job.
    pub async fn job(&self, order_id: Uuid) -> Result<Option<i16>> {
        let statement = sqlx::query_scalar("SELECT state FROM dispatch.jobs WHERE order_id = $1").bind(order_id);
        Ok(statement.fetch_optional(&self.sql).await?)
    }

    /// The events of an order, as they are published.
    pub async fn events(&self, order_id: Uuid) -> Result<Vec<AssignmentEvent>> {
        let statement = "SELECT content FROM dispatch.events WHERE order_id = $1 ORDER BY version";
        let contents: Vec<Vec<u8>> = sqlx::query_scalar(statement).bind(order_id).fetch_all(&self.sql).await?;
        Ok(contents.iter().map(|content| AssignmentEvent::decode(&**content).expect("an event")).collect())
    }
}

pub fn config() -> Config {
    Config { offer_ms: 0, dispatch_attempts: 3, dispatch_window_ms: 0, courier_kmh: 20 }
}

/// Reason of an error.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn workflow(name: &str, statuses: &[(&str, Phase)], dispatch: WorkflowDispatch) -> Workflow {
    let status = |(name, phase): &(&str, Phase)| WorkflowStatus {
        name: (*name).into(),
        phase: (*phase).into(),
        ..WorkflowStatus::default()
    };
    let statuses = statuses.iter().map(status).collect();
    Workflow { name: name.into(), statuses, dispatch: Some(dispatch), ..Workflow::default() }
}

fn ride() -> Workflow {
    let statuses = [
        ("requested", Phase::Active),
        ("confirmed", Phase::Active),
        ("arriving", Phase::Active),
        ("on_trip", Phase::Active),
        ("completed", Phase::Succeeded),
        ("cancelled", Phase::Cancelled),
        ("no_driver", Phase::Failed),
    ];
    let dispatch = WorkflowDispatch {
        wanted_in: vec!["requested".into()],
        allotted: "confirmed".into(),
        arriving: "arriving".into(),
        picked_up: "on_trip".into(),
        completed: "completed".into(),
        given_up: "no_driver".into(),
        withdrawn: "requested".into(),
    };
    workflow("ride", &statuses, dispatch)
}

fn delivery() -> Workflow {
    let statuses = [
        ("received", Phase::Active),
        ("preparing", Phase::Active),
        ("dispatched", Phase::Active),
        ("delivered", Phase::Succeeded),
        ("cancelled", Phase::Cancelled),
    ];
    let dispatch = WorkflowDispatch {
        wanted_in: vec!["preparing".into()],
        picked_up: "dispatched".into(),
        completed: "delivered".into(),
        ..WorkflowDispatch::default()
    };
    workflow("courier-delivery", &statuses, dispatch)
}
