//! Removing a customer's personal data.

use comanda_kit::{
    access::Scope,
    postgres::{StoreError, bounded},
};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Store,
    window::{Position, range},
};

/// The part of an order in which labels and trip are.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct ContentRow {
    pub order_id: Uuid,
    pub create_time: OffsetDateTime,
    pub content: Vec<u8>,
}

impl Store {
    /// The next orders of a customer behind a position, newest first.
    pub async fn contents(
        &self,
        scope: &Scope,
        customer_id: &str,
        below: Option<Position>,
        limit: i64,
    ) -> Result<Vec<ContentRow>, StoreError> {
        let statement =
            concat!("SELECT order_id, create_time, content FROM orders WHERE ", range!(of_customer), " LIMIT $6");
        let statement = sqlx::query_as(statement)
            .bind(scope.tenant())
            .bind(None::<OffsetDateTime>)
            .bind(below.map(|(create_time, _)| create_time))
            .bind(below.map(|(_, order_id)| order_id))
            .bind(customer_id)
            .bind(limit);
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// Removes the customer's data and the coordinates of trips from orders and gives them new contents. Returns those that had any.
    pub async fn erase(&self, scope: &Scope, mut contents: Vec<(Uuid, Vec<u8>)>) -> Result<Vec<Uuid>, StoreError> {
        // In the order of the keys: two calls for one customer wait for each other.
        contents.sort();
        let (order_ids, contents): (Vec<_>, Vec<_>) = contents.into_iter().unzip();
        // The limit makes Postgres look each order up by its key: without statistics it would read every order of the tenant.
        let statement = sqlx::query_scalar(
            "WITH places AS (
                 DELETE FROM trips t USING unnest($2::uuid[]) AS k (order_id) WHERE t.order_id = k.order_id AND t.tenant = $1
             )
             UPDATE orders o
             SET customer_name = '', email = '', locale = '', content = k.content
             FROM unnest($2::uuid[], $3::bytea[]) AS k (order_id, content)
             CROSS JOIN LATERAL (
                 SELECT order_id
                 FROM orders
                 WHERE order_id = k.order_id AND tenant = $1
                   AND (customer_name, email, locale, content) IS DISTINCT FROM ('', '', '', k.content)
                 LIMIT 1
             ) personal
             WHERE o.order_id = personal.order_id
             RETURNING o.order_id",
        );
        let statement = statement.bind(scope.tenant()).bind(&order_ids).bind(&contents);
        bounded(statement.fetch_all(&self.pool)).await
    }
}
