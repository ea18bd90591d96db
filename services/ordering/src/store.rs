//! All SQL of ordering. Every write is one statement.

use std::collections::HashMap;

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    kafka,
    lease::Lease,
    planted, planted_sql,
    postgres::{StoreError, bounded},
    relay::{Outbox, Outgoing, Pointer},
};
use comanda_proto::{
    v1::{Order, OrderPlaced},
    views::{OrderRow, WorkflowRow, timestamp},
};
use prost::Message;
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::order::NewOrder;

/// The schema that this service alone writes.
pub const SCHEMA: &str = "ordering";

/// Access to the schema.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    dedicated: Dedicated,
}

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

/// What a list is narrowed to, over the immutable part of an order.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Window {
    pub customer_id: Option<String>,
    pub workflow: Option<String>,
    pub created_from: Option<OffsetDateTime>,
    pub created_before: Option<OffsetDateTime>,
    /// Only what is older than this order.
    pub after: Option<(OffsetDateTime, Uuid)>,
}

impl Store {
    /// Access through `pool`, which must see the schema as its own.
    pub fn new(pool: PgPool) -> Self {
        Self { dedicated: Dedicated::new(&pool, Commit::Durable), pool }
    }

    /// Stores orders with their request ids and outbox pointers. Returns those that were stored; the others' request ids were known.
    pub async fn insert(&self, tenant: &str, orders: &[NewOrder]) -> Result<HashMap<Uuid, Stored>, StoreError> {
        // In the order of the request ids, so that batches with the same ones wait for each other instead of deadlocking.
        let mut sorted: Vec<&NewOrder> = orders.iter().collect();
        sorted.sort_by_key(|order| (order.request.as_ref().map(|(id, _)| *id), order.order_id));
        let column = |value: fn(&NewOrder) -> &str| sorted.iter().map(|order| value(order)).collect::<Vec<_>>();
        let ids: Vec<_> = sorted.iter().map(|order| order.order_id).collect();
        let requests: Vec<_> = sorted.iter().map(|order| order.request.as_ref().map(|(id, _)| *id)).collect();
        let hashes: Vec<_> =
            sorted.iter().map(|order| order.request.as_ref().map(|(_, hash)| hash.as_slice())).collect();
        let contents: Vec<_> = sorted.iter().map(|order| order.content.encode_to_vec()).collect();
        let revisions: Vec<_> = sorted.iter().map(|order| order.pinned.revision).collect();
        let (customers, names) = (column(|o| &o.customer.customer_id), column(|o| &o.customer.name));
        let (emails, locales) = (column(|o| &o.customer.email), column(|o| &o.customer.locale));
        let (workflows, statuses) = (column(|o| &o.pinned.workflow), column(|o| &o.pinned.first_status));
        let statement = || {
            sqlx::query_as(planted_sql!(INSERT,
                "request-id-in-second-transaction": "INSERT INTO requests (tenant, request_id, hash, order_id)" => "",
                "request-id-in-second-transaction":
                    "SELECT $1, request_id, hash, order_id FROM input WHERE request_id IS NOT NULL ORDER BY place"
                    => "SELECT order_id FROM input WHERE request_id NOT IN (SELECT request_id FROM requests)",
                "request-id-in-second-transaction": "ON CONFLICT DO NOTHING\n        RETURNING order_id" => "",
            ))
            .bind(tenant)
            .bind(&ids)
            .bind(&requests)
            .bind(&hashes)
            .bind(&customers)
            .bind(&names)
            .bind(&emails)
            .bind(&locales)
            .bind(&contents)
            .bind(&workflows)
            .bind(&revisions)
            .bind(&statuses)
        };
        let stored: Vec<Stored> = self
            .dedicated
            .repeated(|mut connection| async {
                let result = statement().fetch_all(&mut *connection).await;
                (connection, result)
            })
            .await?;
        let stored = stored.into_iter().map(|stored| (stored.order_id, stored)).collect();
        if planted!("request-id-in-second-transaction") {
            self.note_requests(tenant, orders, &stored).await?;
        }
        Ok(stored)
    }

    /// Only for a planted bug: notes the request ids of orders that are stored already.
    async fn note_requests(
        &self,
        tenant: &str,
        orders: &[NewOrder],
        stored: &HashMap<Uuid, Stored>,
    ) -> Result<(), StoreError> {
        let stored = orders.iter().filter(|order| stored.contains_key(&order.order_id));
        for (order_id, (request_id, hash)) in stored.filter_map(|order| Some((order.order_id, order.request.as_ref()?)))
        {
            let statement = "INSERT INTO requests (tenant, request_id, hash, order_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            let statement = sqlx::query(statement).bind(tenant).bind(request_id).bind(hash.as_slice()).bind(order_id);
            bounded(statement.execute(&self.pool)).await?;
        }
        Ok(())
    }

    /// The orders that earlier calls stored under these request ids.
    pub async fn earlier(&self, tenant: &str, request_ids: &[Uuid]) -> Result<HashMap<Uuid, Earlier>, StoreError> {
        if request_ids.is_empty() {
            return Ok(HashMap::new());
        }
        #[derive(FromRow)]
        struct Row {
            request_id: Uuid,
            hash: Vec<u8>,
            #[sqlx(flatten)]
            order: OrderRow,
        }
        // The limits keep Postgres from turning the joins round: without statistics it would read every request of the tenant first.
        let rows: Vec<Row> = bounded(
            sqlx::query_as(
                "SELECT r.request_id, r.hash, d.*
                 FROM unnest($2::uuid[]) AS k (request_id)
                 CROSS JOIN LATERAL (
                     SELECT * FROM requests r WHERE r.tenant = $1 AND r.request_id = k.request_id LIMIT 1
                 ) r
                 CROSS JOIN LATERAL (SELECT * FROM order_details d WHERE d.order_id = r.order_id LIMIT 1) d",
            )
            .bind(tenant)
            .bind(request_ids)
            .fetch_all(&self.pool),
        )
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.request_id, Earlier { hash: row.hash, order: row.order.into_order()? })))
            .collect()
    }

    /// One order as it is now.
    pub async fn order(&self, tenant: &str, order_id: Uuid) -> Result<Option<Order>, StoreError> {
        let statement = sqlx::query_as("SELECT * FROM order_details WHERE order_id = $1 AND tenant = $2");
        read_one(bounded(statement.bind(order_id).bind(tenant).fetch_optional(&self.pool)).await?)
    }

    /// One order by its number.
    pub async fn order_by_number(&self, tenant: &str, number: i64) -> Result<Option<Order>, StoreError> {
        let statement = sqlx::query_as("SELECT * FROM order_details WHERE number = $1 AND tenant = $2");
        read_one(bounded(statement.bind(number).bind(tenant).fetch_optional(&self.pool)).await?)
    }

    /// The next orders of a list, newest first.
    pub async fn list(&self, tenant: &str, window: &Window, limit: i64) -> Result<Vec<OrderRow>, StoreError> {
        // Plans are made for the values of each call, so a condition that is not asked for costs nothing and the others find their index.
        bounded(
            sqlx::query_as(
                "SELECT * FROM order_details
                 WHERE tenant = $1
                   AND ($2::text IS NULL OR customer_id = $2)
                   AND ($3::text IS NULL OR workflow = $3)
                   AND ($4::timestamptz IS NULL OR create_time >= $4)
                   AND ($5::timestamptz IS NULL OR create_time < $5)
                   AND ($6::timestamptz IS NULL OR (create_time, order_id) < ($6, $7))
                 ORDER BY create_time DESC, order_id DESC
                 LIMIT $8",
            )
            .bind(tenant)
            .bind(&window.customer_id)
            .bind(&window.workflow)
            .bind(window.created_from)
            .bind(window.created_before)
            .bind(window.after.map(|(create_time, _)| create_time))
            .bind(window.after.map(|(_, order_id)| order_id))
            .bind(limit)
            .fetch_all(&self.pool),
        )
        .await
    }

    /// The workflows in the revision that new orders get.
    pub async fn current_workflows(&self) -> Result<Vec<WorkflowRow>, StoreError> {
        let statement =
            "SELECT name, revision, definition, current FROM state_machine.workflow_definitions WHERE current";
        bounded(sqlx::query_as(statement).fetch_all(&self.pool)).await
    }

    /// Forgets request ids after their 7 days, at most `limit` a call. Returns how many.
    pub async fn forget_requests(&self, lease: Lease, limit: i64) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "WITH term AS MATERIALIZED (
                 SELECT FROM lease WHERE epoch = $1 FOR SHARE
             ), old AS MATERIALIZED (
                 SELECT tenant, request_id FROM requests WHERE create_time < now() - interval '7 days' LIMIT $2
             )
             DELETE FROM requests r
             USING old
             WHERE r.tenant = old.tenant AND r.request_id = old.request_id AND EXISTS (SELECT FROM term)",
        );
        Ok(bounded(statement.bind(lease.epoch).bind(limit).execute(&self.pool)).await?.rows_affected())
    }
}

fn read_one(row: Option<OrderRow>) -> Result<Option<Order>, StoreError> {
    Ok(row.map(OrderRow::into_order).transpose()?)
}

const INSERT: &str = "
    WITH input AS (
        SELECT i.*, row_number() OVER () AS place
        FROM unnest($2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[],
                    $10::text[], $11::int[], $12::text[])
             AS i (order_id, request_id, hash, customer_id, customer_name, email, locale, content,
                   workflow, workflow_revision, first_status)
    ), claimed AS (
        INSERT INTO requests (tenant, request_id, hash, order_id)
        SELECT $1, request_id, hash, order_id FROM input WHERE request_id IS NOT NULL ORDER BY place
        ON CONFLICT DO NOTHING
        RETURNING order_id
    ), stored AS (
        INSERT INTO orders
            (order_id, tenant, customer_id, customer_name, email, locale, content, workflow, workflow_revision, first_status)
        SELECT order_id, $1, customer_id, customer_name, email, locale, content, workflow, workflow_revision, first_status
        FROM input
        WHERE request_id IS NULL OR order_id IN (SELECT order_id FROM claimed)
        RETURNING order_id, number, create_time
    ), pointed AS (
        INSERT INTO outbox (order_id, version) SELECT order_id, 1 FROM stored
    )
    SELECT order_id, number, create_time FROM stored";

#[derive(FromRow)]
struct PlacedRow {
    order_id: Uuid,
    version: i64,
    number: i64,
    customer_id: String,
    workflow: String,
    workflow_revision: i32,
    first_status: String,
    create_time: OffsetDateTime,
}

#[async_trait::async_trait]
impl Outbox for Store {
    async fn records(&self, pointers: &[Pointer]) -> Result<Vec<Outgoing>, StoreError> {
        let keys: Vec<_> = pointers.iter().map(|pointer| pointer.key).collect();
        let versions: Vec<_> = pointers.iter().map(|pointer| pointer.version).collect();
        let mut connection = self.dedicated.take().await?;
        // The inner limit keeps Postgres from turning the join round: without statistics it would read every order first.
        let rows: Result<Vec<PlacedRow>, _> = bounded(
            sqlx::query_as(
                "SELECT o.version, f.order_id, f.number, f.customer_id, f.workflow, f.workflow_revision, f.first_status,
                        f.create_time
                 FROM unnest($1::uuid[], $2::bigint[]) AS o (order_id, version)
                 CROSS JOIN LATERAL (
                     SELECT order_id, number, customer_id, workflow, workflow_revision, first_status, create_time
                     FROM order_facts f
                     WHERE f.order_id = o.order_id
                     LIMIT 1
                 ) f",
            )
            .bind(keys)
            .bind(versions)
            .fetch_all(&mut *connection),
        )
        .await;
        Ok(connection.end(rows)?.into_iter().map(outgoing).collect())
    }

    async fn oldest_seconds(&self) -> Result<f64, StoreError> {
        let statement = sqlx::query_scalar(
            "SELECT extract(epoch FROM now() - f.create_time)::float8
             FROM (SELECT order_id FROM outbox ORDER BY order_id LIMIT 1) o
             CROSS JOIN LATERAL (SELECT create_time FROM order_facts f WHERE f.order_id = o.order_id) f",
        );
        Ok(bounded(statement.fetch_optional(&self.pool)).await?.unwrap_or(0.0))
    }
}

fn outgoing(row: PlacedRow) -> Outgoing {
    let event = OrderPlaced {
        order_id: row.order_id.to_string(),
        number: row.number,
        customer_id: row.customer_id,
        workflow: row.workflow,
        workflow_revision: row.workflow_revision,
        status: row.first_status,
        create_time: Some(timestamp(row.create_time)),
    };
    Outgoing {
        key: row.order_id,
        version: row.version,
        headers: kafka::headers(&event),
        payload: event.encode_to_vec(),
    }
}
