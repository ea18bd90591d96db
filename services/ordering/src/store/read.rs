//! Reading orders. Statements over many orders read keys and sizes first; the orders themselves only once it is known how large they are.

use std::collections::HashMap;

use comanda_kit::{
    access::Scope,
    postgres::{StoreError, bounded},
};
use comanda_proto::views::OrderRow;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Store, order_columns,
    window::{Position, Window, range},
};

/// An order that a list walks over: what its filters look at, and how many bytes the order has.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Step {
    pub order_id: Uuid,
    pub create_time: OffsetDateTime,
    pub workflow: String,
    pub status: String,
    pub phase: i16,
    pub bytes: i64,
}

impl Step {
    /// Where the order stands in the list.
    pub fn position(&self) -> Position {
        (self.create_time, self.order_id)
    }
}

/// The next orders of a range, with their present states. The length of a large content is in its row; it is not read for it.
macro_rules! walk {
    ($range:ident, $limit:literal) => {
        concat!(
            "SELECT w.order_id, w.create_time, w.workflow, w.bytes, coalesce(s.status, w.first_status) AS status,
                    coalesce(s.phase, 1::smallint) AS phase
             FROM (
                 SELECT order_id, create_time, customer_id, workflow, first_status,
                        (octet_length(content) + octet_length(customer_name))::bigint AS bytes
                 FROM orders
                 WHERE ",
            range!($range),
            "    LIMIT ",
            $limit,
            ") w
             LEFT JOIN LATERAL (
                 SELECT status, phase FROM state_machine.order_states WHERE order_id = w.order_id LIMIT 1
             ) s ON true
             ORDER BY w.create_time DESC, w.order_id DESC"
        )
    };
}

impl Store {
    /// One order as it is now.
    pub async fn order(&self, scope: &Scope, order_id: Uuid) -> Result<Option<OrderRow>, StoreError> {
        let statement = concat!("SELECT ", order_columns!(), " FROM order_details WHERE tenant = $1 AND order_id = $2");
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(order_id);
        self.calls.repeated(|mut c| async { (statement().fetch_optional(&mut *c).await, c) }).await
    }

    /// One order by its number.
    pub async fn order_by_number(&self, scope: &Scope, number: i64) -> Result<Option<OrderRow>, StoreError> {
        let statement = concat!("SELECT ", order_columns!(), " FROM order_details WHERE tenant = $1 AND number = $2");
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(number);
        self.calls.repeated(|mut c| async { (statement().fetch_optional(&mut *c).await, c) }).await
    }

    /// Orders as they are now, in no order. Those that are not there are left out.
    pub async fn orders(&self, scope: &Scope, order_ids: &[Uuid]) -> Result<Vec<OrderRow>, StoreError> {
        let statement = concat!(
            "SELECT d.*
             FROM unnest($2::uuid[]) AS k (order_id)
             CROSS JOIN LATERAL (SELECT ",
            order_columns!(),
            " FROM order_details WHERE order_id = k.order_id AND tenant = $1 LIMIT 1) d"
        );
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(order_ids);
        self.calls.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }

    /// How many bytes orders have. Those that are not there are left out.
    pub async fn sizes(&self, scope: &Scope, order_ids: &[Uuid]) -> Result<HashMap<Uuid, i64>, StoreError> {
        let statement = "SELECT k.order_id, o.bytes
             FROM unnest($2::uuid[]) AS k (order_id)
             CROSS JOIN LATERAL (
                 SELECT (octet_length(content) + octet_length(customer_name))::bigint AS bytes
                 FROM orders
                 WHERE order_id = k.order_id AND tenant = $1
                 LIMIT 1
             ) o";
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(order_ids);
        let sizes: Vec<_> = self.calls.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await?;
        Ok(sizes.into_iter().collect())
    }

    /// The next orders of a window, newest first. Reads at most `limit` orders, whatever the tables hold.
    pub async fn walk(&self, scope: &Scope, window: &Window, limit: i64) -> Result<Vec<Step>, StoreError> {
        // Plans are made for the values of each call, so a bound that is not given costs nothing.
        let statement = match window.customer_id {
            None => walk!(of_tenant, "$5"),
            Some(_) => walk!(of_customer, "$6"),
        };
        let mut query = sqlx::query_as(statement)
            .bind(scope.tenant())
            .bind(window.from)
            .bind(window.below.map(|(create_time, _)| create_time))
            .bind(window.below.map(|(_, order_id)| order_id));
        if let Some(customer_id) = &window.customer_id {
            query = query.bind(customer_id);
        }
        bounded(query.bind(limit).fetch_all(&self.pool)).await
    }
}
