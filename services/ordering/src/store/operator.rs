//! What the operator's commands read and write in ordering. They work on a connection of their own, which sees no schema as its own, and
//! in chunks, so that no statement runs long.

use comanda_kit::{
    postgres::{StoreError, bounded},
    put_back,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// The next orders by id, and whether each was created at or after `since` and is of the tenant, if one is given.
pub async fn orders(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    since: Option<OffsetDateTime>,
    tenant: Option<&str>,
    limit: i64,
) -> Result<Vec<(Uuid, bool)>, StoreError> {
    let statement = sqlx::query_as(
        "SELECT order_id, ($2::timestamptz IS NULL OR create_time >= $2) AND ($4::text IS NULL OR tenant = $4)
         FROM ordering.orders
         WHERE order_id > $1
         ORDER BY order_id
         LIMIT $3",
    );
    // Every id is a UUIDv7, so all lie above the nil UUID.
    let statement = statement.bind(after.unwrap_or_default()).bind(since).bind(limit).bind(tenant);
    bounded(statement.fetch_all(connection)).await
}

/// Which of these orders exist.
pub async fn existing(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let statement = sqlx::query_scalar(
        "SELECT k.order_id
         FROM unnest($1::uuid[]) AS k (order_id)
         WHERE EXISTS (SELECT FROM ordering.orders o WHERE o.order_id = k.order_id)",
    );
    bounded(statement.bind(order_ids).fetch_all(connection)).await
}

/// Puts the outbox pointers of orders back.
pub async fn put_back(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let statement = sqlx::query(put_back!(
        "ordering.outbox",
        "SELECT order_id, 1::bigint AS version FROM unnest($1::uuid[]) AS k (order_id)"
    ));
    bounded(statement.bind(order_ids).execute(connection)).await.map(drop)
}

/// Removes orders and their trips.
pub async fn remove(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "WITH trips AS (
             DELETE FROM ordering.trips x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id
         )
         DELETE FROM ordering.orders x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id",
    );
    bounded(statement.bind(order_ids).execute(connection)).await.map(drop)
}
