//! Storing orders, and finding what a request id stored before.

use std::collections::HashMap;

use comanda_kit::{
    planted, planted_sql,
    postgres::{StoreError, bounded},
};
use comanda_proto::{
    v1::{Order, OrderView},
    views::OrderRow,
};
use prost::Message;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, order_columns};
use crate::order::NewOrder;

/// An order that was stored.
#[derive(Clone, Copy, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Stored {
    pub order_id: Uuid,
    pub number: i64,
    pub create_time: OffsetDateTime,
}

/// An order that an earlier call stored under a request id.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Earlier {
    pub hash: Vec<u8>,
    pub order: Order,
}

/// In one statement: claims the request ids, counts the orders that are left, takes a block of numbers for each tenant, stores the orders
/// and points at them.
///
/// It cannot deadlock with another one: each waits for claims only before it locks a tenant's row of `numbers`, and both are taken in the
/// order of their keys. The row stays locked until the commit, and the time is read once it is locked; so orders of one tenant become visible
/// in the order of their numbers and of their times, whichever replica stores them.
const INSERT: &str = "
    WITH input AS MATERIALIZED (
        SELECT *
        FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[],
                    $10::text[], $11::bigint[], $12::int[], $13::int[], $14::text[], $15::int[], $16::text[])
             WITH ORDINALITY
             AS i (tenant, order_id, request_id, hash, customer_id, customer_name, email, locale, content,
                   currency, total_units, total_nanos, item_count, workflow, workflow_revision, first_status, place)
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
             currency, total_units, total_nanos, item_count, workflow, workflow_revision, first_status, create_time)
        SELECT new.order_id, new.tenant,
               block.last_number - new.in_block + new.place_in_block,
               new.customer_id, new.customer_name, new.email, new.locale, new.content,
               new.currency, new.total_units, new.total_nanos, new.item_count,
               new.workflow, new.workflow_revision, new.first_status, block.last_create_time
        FROM new JOIN block ON block.tenant = new.tenant
        RETURNING order_id, number, create_time
    ), pointed AS (
        INSERT INTO outbox (order_id, version) SELECT order_id, 1 FROM stored
    )
    SELECT order_id, number, create_time FROM stored";

impl Store {
    /// Stores orders, each for the tenant of its own scope, with their request ids and outbox pointers. Returns those that were stored by
    /// their ids; the request ids of the others were known.
    pub async fn insert(&self, orders: &[NewOrder]) -> Result<HashMap<Uuid, Stored>, StoreError> {
        // In the order of the keys, so that batches with the same request ids wait for each other instead of deadlocking.
        let mut sorted: Vec<&NewOrder> = orders.iter().collect();
        sorted.sort_by_key(|order| (order.scope.tenant(), order.request.as_ref().map(|(id, _)| *id), order.order_id));
        let columns = Columns::of(&sorted);
        let stored: Vec<Stored> =
            self.dedicated.repeated(|mut c| async { (columns.insert().fetch_all(&mut *c).await, c) }).await?;
        let stored = stored.into_iter().map(|stored| (stored.order_id, stored)).collect();
        if planted!("request-id-in-second-transaction") {
            self.note_requests(orders, &stored).await?;
        }
        Ok(stored)
    }

    /// The orders that earlier calls of the same tenants stored under the request ids of these, by the ids of these.
    pub async fn earlier(&self, orders: &[&NewOrder]) -> Result<HashMap<Uuid, Earlier>, StoreError> {
        if orders.is_empty() {
            return Ok(HashMap::new());
        }
        #[derive(FromRow)]
        struct Row {
            asked_by: Uuid,
            hash: Vec<u8>,
            #[sqlx(flatten)]
            order: OrderRow,
        }
        // The limits keep Postgres from turning the joins round: without statistics it would read every request of the tenant first.
        let statement = concat!(
            "SELECT k.asked_by, r.hash, d.*
             FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (asked_by, tenant, request_id)
             CROSS JOIN LATERAL (
                 SELECT r.hash, r.order_id FROM requests r WHERE r.tenant = k.tenant AND r.request_id = k.request_id LIMIT 1
             ) r
             CROSS JOIN LATERAL (SELECT ",
            order_columns!(),
            " FROM order_details WHERE order_id = r.order_id LIMIT 1) d"
        );
        let asked: Vec<_> = orders.iter().map(|order| order.order_id).collect();
        let tenants: Vec<_> = orders.iter().map(|order| order.scope.tenant()).collect();
        let requests: Vec<_> = orders.iter().map(|order| order.request.as_ref().map(|(id, _)| *id)).collect();
        let statement = sqlx::query_as(statement).bind(&asked).bind(&tenants).bind(&requests);
        let rows: Vec<Row> = bounded(statement.fetch_all(&self.pool)).await?;
        rows.into_iter()
            .map(|row| Ok((row.asked_by, Earlier { hash: row.hash, order: row.order.into_order(OrderView::Full)? })))
            .collect()
    }

    /// Only for a planted bug: notes the request ids of orders that are stored already.
    async fn note_requests(&self, orders: &[NewOrder], stored: &HashMap<Uuid, Stored>) -> Result<(), StoreError> {
        for order in orders.iter().filter(|order| stored.contains_key(&order.order_id)) {
            let Some((request_id, hash)) = &order.request else { continue };
            let statement = "INSERT INTO requests (tenant, request_id, hash, order_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            let statement = sqlx::query(statement).bind(order.scope.tenant()).bind(request_id).bind(hash.as_slice());
            bounded(statement.bind(order.order_id).execute(&self.pool)).await?;
        }
        Ok(())
    }
}

/// The parameters of the statement: one array for each column.
#[derive(Default)]
struct Columns<'a> {
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
}

type Insert<'q> = sqlx::query::QueryAs<'q, sqlx::Postgres, Stored, sqlx::postgres::PgArguments>;

impl<'a> Columns<'a> {
    fn of(orders: &[&'a NewOrder]) -> Self {
        let mut columns = Self::default();
        for order in orders {
            columns.push(order);
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
    }

    fn insert(&self) -> Insert<'_> {
        let statement = planted_sql!(INSERT,
            "request-id-in-second-transaction": "INSERT INTO requests (tenant, request_id, hash, order_id)" => "",
            "request-id-in-second-transaction":
                "SELECT tenant, request_id, hash, order_id FROM input WHERE request_id IS NOT NULL ORDER BY place"
                => "SELECT order_id FROM input WHERE request_id NOT IN (SELECT request_id FROM requests)",
            "request-id-in-second-transaction": "ON CONFLICT DO NOTHING\n        RETURNING order_id" => "",
        );
        sqlx::query_as(statement)
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
    }
}
