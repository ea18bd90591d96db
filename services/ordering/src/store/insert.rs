//! Storing orders, and finding what a request id stored before.

mod columns;

use std::collections::HashMap;

use comanda_kit::{
    planted,
    postgres::{StoreError, bounded},
    relay::Outgoing,
};
use comanda_proto::{
    v1::{Order, OrderView},
    views::OrderRow,
};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use self::columns::Columns;
use super::{Store, order_columns, outbox};
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

impl Store {
    /// Stores orders, each for the tenant of its own scope, with their request ids and outbox pointers. Returns those that were stored by
    /// their ids; the request ids of the others were known.
    pub async fn insert(&self, orders: &[NewOrder]) -> Result<HashMap<Uuid, Stored>, StoreError> {
        // In the order of the keys, so that batches with the same request ids wait for each other instead of deadlocking.
        let mut sorted: Vec<&NewOrder> = orders.iter().collect();
        sorted.sort_by_key(|order| (order.scope.tenant(), order.request.as_ref().map(|(id, _)| *id), order.order_id));
        let columns = Columns::of(&sorted);
        let stored: Result<Vec<Stored>, _> =
            self.dedicated.repeated(|mut c| async { (columns.insert::<Stored>().fetch_all(&mut *c).await, c) }).await;
        if planted!("unknown-commit-kept") && stored.is_err() {
            self.keep_guessed(orders);
        }
        let stored = stored?;
        let stored: HashMap<_, _> = stored.into_iter().map(|stored| (stored.order_id, stored)).collect();
        self.kept.keep(orders.iter().filter_map(|order| Some(record(order, stored.get(&order.order_id)?))));
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

    /// Only for a planted bug: keeps records of orders of which nothing is known.
    fn keep_guessed(&self, orders: &[NewOrder]) {
        let guessed =
            |order: &NewOrder| Stored { order_id: order.order_id, number: 0, create_time: OffsetDateTime::now_utc() };
        self.kept.keep(orders.iter().map(|order| record(order, &guessed(order))));
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

/// The record of an order that was stored just now: the same as is made of its rows.
fn record(order: &NewOrder, stored: &Stored) -> Outgoing {
    let total = order.content.total.clone().unwrap_or_default();
    outbox::outgoing(outbox::PlacedRow {
        order_id: order.order_id,
        version: 1,
        tenant: order.scope.tenant().to_owned(),
        number: stored.number,
        customer_id: order.customer.customer_id.clone(),
        workflow: order.workflow.name.clone(),
        workflow_revision: order.workflow.revision,
        first_status: order.first_status().to_owned(),
        create_time: stored.create_time,
        currency: total.currency_code,
        total_units: total.units,
        total_nanos: total.nanos,
        item_count: order.content.items.len() as i32,
        start_time: order.start_time,
        traceparent: order.traceparent.as_ref().map(ToString::to_string),
    })
}
