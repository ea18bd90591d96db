//! What the tests start from.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use comanda_dispatch::{
    App, Config, SCHEMA,
    feed::Feed,
    grid::{Grid, Seen},
    place::CourierKey,
    store::Store,
};
use comanda_kit::{
    access::{Access, DEFAULT_TENANT, Scope},
    lease::{Elector, Lease},
    postgres,
    shutdown::Tasks,
    testing::{Environment, Published, Replica, eventually},
};
use comanda_proto::{
    LatLng, topics,
    v1::{
        AssignmentState, Item, Location, Order, Place, ReportLocationRequest, Trip,
        dispatch_service_client::DispatchServiceClient,
    },
    views::timestamp,
};
use prost::Message;
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

/// The tenant of the built-in caller.
pub const TENANT: &str = DEFAULT_TENANT;

/// Where the orders of [`Fixture::assign`] are picked up: latitude and longitude.
pub const PICKUP: (f64, f64) = (40.416_775, -3.703_79);
/// Where they go: about 11 km north.
pub const DROPOFF: (f64, f64) = (40.516_775, -3.703_79);

pub type Client = DispatchServiceClient<Channel>;

/// Topics, and a database.
pub struct Fixture {
    pub environment: Environment,
    /// The database as the tests look at it and meddle with it.
    pub sql: PgPool,
}

impl Fixture {
    pub async fn new() -> Result<Self> {
        let environment = Environment::without_topics().await?;
        for topic in [topics::ORDER_TRANSITIONS, topics::ASSIGNMENTS, topics::COURIER_LOCATIONS] {
            environment.create_topic(topic).await?;
        }
        Ok(Self { sql: environment.sql().await?, environment })
    }

    /// A replica that serves the built-in caller.
    pub async fn start(&self) -> Result<Replica> {
        self.start_for(Scope::built_in()).await
    }

    /// A replica that serves this caller.
    pub async fn start_for(&self, caller: Scope) -> Result<Replica> {
        let tasks = Tasks::new();
        let app = App::build(&config(), &self.environment.postgres, &self.environment.kafka)?;
        let replica = Replica::serve_to(Access::everyone_is(caller), vec![app.start(&tasks)?], tasks)?;
        replica.serves("comanda.v1.DispatchService").await;
        Ok(replica)
    }

    pub async fn client(&self, replica: &Replica) -> Result<Client> {
        Ok(DispatchServiceClient::new(replica.connect().await?))
    }

    /// The service's own access to its schema.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::new(self.pool()?))
    }

    fn pool(&self) -> Result<PgPool> {
        postgres::pool(&self.environment.postgres, SCHEMA)
    }

    /// Leads, in the place of the leader before.
    pub async fn lead(&self) -> Result<Lease> {
        let elector = Elector::new(self.pool()?);
        let lease = eventually("this replica leads", || async {
            // A leader that runs may renew its lease in between.
            self.execute("UPDATE dispatch.lease SET expires_at = '-infinity'").await.expect("a lease");
            elector.ask().await.expect("an answer")
        });
        Ok(lease.await)
    }

    pub async fn execute(&self, statement: &'static str) -> Result<()> {
        sqlx::query(statement).execute(&self.sql).await?;
        Ok(())
    }

    /// A courier that is available.
    pub async fn register(&self, tenant: &str, courier_id: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO dispatch.couriers (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status)
             VALUES ($1, $2, 'Ana', 'white Corolla', '1234 ABC', '', '', 2, 1000, 2)",
        )
        .bind(tenant)
        .bind(courier_id)
        .execute(&self.sql)
        .await?;
        Ok(())
    }

    /// An order with a job, in the hands of a courier or offered to it, promised and expected in an hour. It goes from [`PICKUP`] to
    /// [`DROPOFF`].
    pub async fn assign(&self, courier_id: &str, slot: i32, state: AssignmentState) -> Result<Uuid> {
        let (order_id, place) = (Uuid::now_v7(), Place { address: "Av. Italia 1234".into(), ..Place::default() });
        let content = Order {
            items: vec![Item { name: "Soup".into(), ..Item::default() }],
            trip: Some(Trip { pickup: Some(place), load: 2, ..Trip::default() }),
            ..Order::default()
        };
        sqlx::query(
            "WITH o AS (
                 INSERT INTO ordering.orders
                     (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                      total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
                 VALUES ($1, $2, 17, 'x', '', '', '', $6, 'EUR', 0, 0, 1, 'ride', 1, 'requested')
             ), t AS (
                 INSERT INTO ordering.trips
                     (order_id, tenant, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude, load, vehicle_kind, zone)
                 VALUES ($1, $2, $7, $8, $9, $10, 2, '', '')
             ), j AS (
                 INSERT INTO dispatch.jobs
                     (order_id, tenant, number, workflow, workflow_revision, order_version, order_status, state, not_before, waiting_since)
                 VALUES ($1, $2, 17, 'ride', 1, 1, 'requested', 3, now(), now())
             ), c AS (
                 UPDATE dispatch.couriers SET revision = revision + 1 WHERE tenant = $2 AND courier_id = $3
             )
             INSERT INTO dispatch.assignments
                 (order_id, attempt, tenant, courier_id, slot, state, promised_pickup_time, expected_pickup_time, expected_dropoff_time)
             SELECT $1, 1, $2, $3, $4, $5, hence, hence, hence + interval '2001 seconds'
             FROM (SELECT now() + interval '1 hour' AS hence) t",
        )
        .bind(order_id)
        .bind(TENANT)
        .bind(courier_id)
        .bind(slot)
        .bind(state as i16)
        .bind(content.encode_to_vec())
        .bind(PICKUP.0)
        .bind(PICKUP.1)
        .bind(DROPOFF.0)
        .bind(DROPOFF.1)
        .execute(&self.sql)
        .await?;
        Ok(order_id)
    }

    /// The records of the topic of positions, once there are so many.
    pub async fn locations(&self, count: usize) -> Result<Vec<Published>> {
        Ok(eventually("the positions are published", || async {
            let records = self.environment.records(topics::COURIER_LOCATIONS).await.ok()?;
            assert!(records.len() <= count, "{} instead of {count} records", records.len());
            (records.len() == count).then_some(records)
        })
        .await)
    }

    /// A grid as a replica has one, filled until the stop.
    pub fn grid(&self, tasks: &Tasks) -> Result<Arc<Grid>> {
        let grid = Arc::new(Grid::default());
        let kafka = self.environment.kafka.clone();
        let topic = kafka.topic(topics::COURIER_LOCATIONS);
        let feed = Feed { grid: grid.clone(), store: self.store()?, kafka, topic };
        tasks.spawn("feed", feed.run(tasks.stop_token()));
        Ok(grid)
    }
}

/// What the grid says of a courier, once it holds.
pub async fn seen(grid: &Grid, courier_id: &str, holds: impl Fn(&Seen) -> bool) -> Seen {
    let courier = CourierKey::new(TENANT, courier_id);
    eventually("the grid has the position", || async { grid.last_seen(&courier).filter(&holds) }).await
}

fn config() -> Config {
    Config { offer_ms: 0, dispatch_attempts: 5, dispatch_window_ms: 500, courier_kmh: 20 }
}

pub fn location(latitude: f64, longitude: f64, time: OffsetDateTime) -> Location {
    let position = Some(LatLng { latitude, longitude });
    Location { position, record_time: Some(timestamp(time)), accuracy_meters: 5.0 }
}

/// Reports a position; whether it was taken.
pub async fn report(client: &mut Client, courier_id: &str, location: Location) -> Result<bool, Status> {
    let request = ReportLocationRequest { courier_id: courier_id.into(), location: Some(location) };
    Ok(client.report_location(request).await?.into_inner().taken)
}

/// Code and reason of an error.
pub fn refusal(status: Status) -> (Code, String) {
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_default())
}

/// Seconds after a time.
pub fn after(time: OffsetDateTime, seconds: u64) -> OffsetDateTime {
    time + Duration::from_secs(seconds)
}
