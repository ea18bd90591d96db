//! The statement that stores a batch of orders, and its parameters.

use comanda_kit::{planted_sql, point_at};
use comanda_proto::v1::Place;
use prost::Message;
use sqlx::{
    FromRow, Postgres,
    postgres::{PgArguments, PgRow},
    query::QueryAs,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::order::NewOrder;

/// In one statement: claims the request ids, counts the orders that are left, takes a block of numbers for each tenant, stores the orders
/// and points at them. The parts that a batch with trips needs too are left out of the statement for others, since an insert into one more
/// table takes time even where there is nothing to insert.
///
/// It cannot deadlock with another one: each waits for claims only before it locks a tenant's row of `numbers`, and both are taken in the
/// order of their keys. The row stays locked until the commit, and the time is read once it is locked; so orders of one tenant become visible
/// in the order of their numbers and of their times, whichever replica stores them.
macro_rules! insert {
    ($arrays:literal, $columns:literal, $start_column:literal, $start:literal, $trips:literal) => {
        concat!("
    WITH input AS MATERIALIZED (
        SELECT *
        FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[],
                    $10::text[], $11::bigint[], $12::int[], $13::int[], $14::text[], $15::int[], $16::text[], $17::text[]",
        $arrays,
        ")
             WITH ORDINALITY
             AS i (tenant, order_id, request_id, hash, customer_id, customer_name, email, locale, content,
                   currency, total_units, total_nanos, item_count, workflow, workflow_revision, first_status, traceparent",
        $columns,
        ", place)
    ), claimed AS (
        INSERT INTO requests (tenant, request_id, hash, order_id)
        SELECT tenant, request_id, hash, order_id FROM input WHERE request_id IS NOT NULL ORDER BY place
        ON CONFLICT DO NOTHING
        RETURNING order_id
    ), new AS MATERIALIZED (
        SELECT *, count(*) OVER (PARTITION BY tenant) AS in_block,
               row_number() OVER (PARTITION BY tenant ORDER BY order_id) AS place_in_block
        FROM input
        WHERE request_id IS NULL OR order_id IN (SELECT order_id FROM claimed)
    ), block AS (
        INSERT INTO numbers AS n (tenant, last_number, last_create_time)
        SELECT tenant, count(*), clock_timestamp() FROM new GROUP BY tenant ORDER BY tenant
        ON CONFLICT (tenant) DO UPDATE
        SET last_number = n.last_number + excluded.last_number,
            last_create_time = greatest(clock_timestamp(), n.last_create_time + interval '1 microsecond')
        RETURNING tenant, last_number, last_create_time
    ), stored AS (
        INSERT INTO orders
            (order_id, tenant, number, customer_id, customer_name, email, locale, content,
             currency, total_units, total_nanos, item_count, workflow, workflow_revision, first_status, create_time, traceparent",
        $start_column,
        ")
        SELECT new.order_id, new.tenant,
               block.last_number - new.in_block + new.place_in_block,
               new.customer_id, new.customer_name, new.email, new.locale, new.content,
               new.currency, new.total_units, new.total_nanos, new.item_count,
               new.workflow, new.workflow_revision, new.first_status, block.last_create_time, new.traceparent",
        $start,
        "
        FROM new JOIN block ON block.tenant = new.tenant
        RETURNING order_id, number, create_time
    )",
        $trips,
        ", pointed AS (
        ",
        point_at!("SELECT order_id, 1::bigint AS version FROM stored"),
        "
    )
    SELECT order_id, number, create_time FROM stored")
    };
}

const INSERT: &str = insert!("", "", "", "", "");

const INSERT_WITH_TRIPS: &str = insert!(
    ", $18::timestamptz[], $19::float8[], $20::float8[], $21::float8[], $22::float8[], $23::int[], $24::text[], $25::text[]",
    ", start_time, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude, load, vehicle_kind, zone",
    ", start_time",
    ", new.start_time",
    ", driven AS (
        INSERT INTO trips
            (order_id, tenant, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude, load, vehicle_kind, zone)
        SELECT order_id, tenant, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude, load, vehicle_kind, zone
        FROM new
        WHERE load IS NOT NULL
    )"
);

/// The parameters of the statement: one array for each column.
#[derive(Default)]
pub struct Columns<'a> {
    tenants: Vec<&'a str>,
    order_ids: Vec<Uuid>,
    request_ids: Vec<Option<Uuid>>,
    hashes: Vec<Option<&'a [u8]>>,
    customers: Vec<&'a str>,
    names: Vec<&'a str>,
    emails: Vec<&'a str>,
    locales: Vec<&'a str>,
    contents: Vec<Vec<u8>>,
    currencies: Vec<&'a str>,
    total_units: Vec<i64>,
    total_nanos: Vec<i32>,
    item_counts: Vec<i32>,
    workflows: Vec<&'a str>,
    revisions: Vec<i32>,
    statuses: Vec<&'a str>,
    traceparents: Vec<Option<String>>,
    trips: TripColumns<'a>,
}

/// Those of trips, null for an order without one.
#[derive(Default)]
struct TripColumns<'a> {
    start_times: Vec<Option<OffsetDateTime>>,
    pickup_latitudes: Vec<Option<f64>>,
    pickup_longitudes: Vec<Option<f64>>,
    dropoff_latitudes: Vec<Option<f64>>,
    dropoff_longitudes: Vec<Option<f64>>,
    loads: Vec<Option<i32>>,
    vehicle_kinds: Vec<Option<&'a str>>,
    zones: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    /// Those of a batch, in its order.
    pub fn of(orders: &[&'a NewOrder]) -> Self {
        let mut columns = Self::default();
        orders.iter().for_each(|order| columns.push(order));
        if orders.iter().any(|order| order.content.trip.is_some()) {
            orders.iter().for_each(|order| columns.trips.push(order));
        }
        columns
    }

    fn push(&mut self, order: &'a NewOrder) {
        self.tenants.push(order.scope.tenant());
        self.order_ids.push(order.order_id);
        self.request_ids.push(order.request.as_ref().map(|(id, _)| *id));
        self.hashes.push(order.request.as_ref().map(|(_, hash)| hash.as_slice()));
        self.customers.push(&order.customer.customer_id);
        self.names.push(&order.customer.name);
        self.emails.push(&order.customer.email);
        self.locales.push(&order.customer.locale);
        self.contents.push(order.content.encode_to_vec());
        let total = order.content.total.as_ref();
        self.currencies.push(total.map_or("", |total| &total.currency_code));
        self.total_units.push(total.map_or(0, |total| total.units));
        self.total_nanos.push(total.map_or(0, |total| total.nanos));
        self.item_counts.push(order.content.items.len() as i32);
        self.workflows.push(&order.workflow.name);
        self.revisions.push(order.workflow.revision);
        self.statuses.push(order.first_status());
        self.traceparents.push(order.traceparent.as_ref().map(ToString::to_string));
    }

    /// The statement with its parameters. It gives id, number and create_time of each order that was stored.
    pub fn insert<T: for<'r> FromRow<'r, PgRow>>(&self) -> QueryAs<'_, Postgres, T, PgArguments> {
        let has_trips = !self.trips.loads.is_empty();
        let statement = if has_trips { INSERT_WITH_TRIPS } else { planted() };
        let query = sqlx::query_as(statement)
            .bind(&self.tenants)
            .bind(&self.order_ids)
            .bind(&self.request_ids)
            .bind(&self.hashes)
            .bind(&self.customers)
            .bind(&self.names)
            .bind(&self.emails)
            .bind(&self.locales)
            .bind(&self.contents)
            .bind(&self.currencies)
            .bind(&self.total_units)
            .bind(&self.total_nanos)
            .bind(&self.item_counts)
            .bind(&self.workflows)
            .bind(&self.revisions)
            .bind(&self.statuses)
            .bind(&self.traceparents);
        if has_trips { self.trips.bind(query) } else { query }
    }
}

/// The statement for orders without trips, in which a bug may be planted.
fn planted() -> &'static str {
    planted_sql!(INSERT,
        "request-id-in-second-transaction": "INSERT INTO requests (tenant, request_id, hash, order_id)" => "",
        "request-id-in-second-transaction":
            "SELECT tenant, request_id, hash, order_id FROM input WHERE request_id IS NOT NULL ORDER BY place"
            => "SELECT order_id FROM input WHERE request_id NOT IN (SELECT request_id FROM requests)",
        "request-id-in-second-transaction": "ON CONFLICT DO NOTHING\n        RETURNING order_id" => "",
    )
}

impl<'a> TripColumns<'a> {
    fn push(&mut self, order: &'a NewOrder) {
        let trip = order.content.trip.as_ref();
        let position = |place: Option<&'a Place>| place.and_then(|place| place.position.as_ref());
        let pickup = position(trip.and_then(|trip| trip.pickup.as_ref()));
        let dropoff = position(trip.and_then(|trip| trip.dropoff.as_ref()));
        self.start_times.push(order.start_time);
        self.pickup_latitudes.push(pickup.map(|position| position.latitude));
        self.pickup_longitudes.push(pickup.map(|position| position.longitude));
        self.dropoff_latitudes.push(dropoff.map(|position| position.latitude));
        self.dropoff_longitudes.push(dropoff.map(|position| position.longitude));
        self.loads.push(trip.map(|trip| trip.load));
        self.vehicle_kinds.push(trip.map(|trip| trip.vehicle_kind.as_str()));
        self.zones.push(trip.map(|trip| trip.zone.as_str()));
    }

    fn bind<'q, T>(&'q self, query: QueryAs<'q, Postgres, T, PgArguments>) -> QueryAs<'q, Postgres, T, PgArguments> {
        query
            .bind(&self.start_times)
            .bind(&self.pickup_latitudes)
            .bind(&self.pickup_longitudes)
            .bind(&self.dropoff_latitudes)
            .bind(&self.dropoff_longitudes)
            .bind(&self.loads)
            .bind(&self.vehicle_kinds)
            .bind(&self.zones)
    }
}
