//! What the operator's commands read and write in dispatch. They work on a connection of their own, which sees no schema as its own, and in
//! chunks, so that no statement runs long.

use comanda_kit::{
    postgres::{StoreError, bounded},
    put_back,
};
use sqlx::{Connection, FromRow, PgConnection, PgPool};
use uuid::Uuid;

/// What is open, each counted up to a limit.
#[derive(Clone, Copy, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Counts {
    /// Couriers that take jobs.
    pub available: i64,
    /// Orders that wait for a courier.
    pub waiting: i64,
    /// Orders whose time has not come.
    pub held: i64,
    /// Offers and assignments that have not ended.
    pub open: i64,
    /// Jobs with a step that the state machine has not answered for a minute.
    pub stuck: i64,
}

/// Counts what is open, of one tenant or of all, up to `limit`. Every number is read from a partial index.
pub async fn counts(pool: &PgPool, tenant: Option<&str>, limit: i64) -> Result<Counts, StoreError> {
    let statement = sqlx::query_as(
        "SELECT (SELECT count(*) FROM (
                    SELECT FROM couriers WHERE status = 2 AND ($2::text IS NULL OR tenant = $2) LIMIT $1
                ) c) AS available,
                (SELECT count(*) FROM (
                    SELECT FROM jobs WHERE state <= 2 AND not_before <= now() AND ($2::text IS NULL OR tenant = $2) LIMIT $1
                ) j) AS waiting,
                (SELECT count(*) FROM (
                    SELECT FROM jobs WHERE state <= 2 AND not_before > now() AND ($2::text IS NULL OR tenant = $2) LIMIT $1
                ) j) AS held,
                (SELECT count(*) FROM (
                    SELECT FROM assignments WHERE ended_at IS NULL AND ($2::text IS NULL OR tenant = $2) LIMIT $1
                ) a) AS open,
                (SELECT count(*) FROM (
                    SELECT FROM jobs
                    WHERE step_version IS NOT NULL AND step_time < now() - interval '1 minute'
                      AND ($2::text IS NULL OR tenant = $2)
                    LIMIT $1
                ) j) AS stuck",
    );
    bounded(statement.bind(limit).bind(tenant).fetch_one(pool)).await
}

/// Which of these orders have an open job.
pub async fn unfinished(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let statement = sqlx::query_scalar(
        "SELECT k.order_id
         FROM unnest($1::uuid[]) AS k (order_id)
         WHERE EXISTS (SELECT FROM dispatch.jobs j WHERE j.order_id = k.order_id AND j.state <= 3)
            OR EXISTS (SELECT FROM dispatch.assignments a WHERE a.order_id = k.order_id AND a.ended_at IS NULL)",
    );
    bounded(statement.bind(order_ids).fetch_all(connection)).await
}

/// Puts the outbox pointers of these orders' events back. The jobs are locked before their events are read: so no later event is committed,
/// and published, before those that are put back can be seen.
pub async fn put_back(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let mut transaction = bounded(connection.begin()).await?;
    let lock = sqlx::query_scalar(
        "SELECT j.order_id
         FROM (SELECT order_id FROM unnest($1::uuid[]) AS k (order_id) ORDER BY order_id) k
         CROSS JOIN LATERAL (SELECT order_id FROM dispatch.jobs j WHERE j.order_id = k.order_id LIMIT 1 FOR SHARE) j",
    );
    let locked: Vec<Uuid> = bounded(lock.bind(order_ids).fetch_all(&mut *transaction)).await?;
    let statement = sqlx::query(put_back!(
        "dispatch.outbox",
        "SELECT e.order_id, e.version
         FROM unnest($1::uuid[]) AS k (order_id)
         CROSS JOIN LATERAL (SELECT order_id, version FROM dispatch.events e WHERE e.order_id = k.order_id) e"
    ));
    bounded(statement.bind(locked).execute(&mut *transaction)).await?;
    bounded(transaction.commit()).await
}

/// Removes jobs, assignments and events of orders.
pub async fn remove(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "WITH told AS (
             DELETE FROM dispatch.events x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id
         ), assigned AS (
             DELETE FROM dispatch.assignments x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id
         )
         DELETE FROM dispatch.jobs x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id",
    );
    bounded(statement.bind(order_ids).execute(connection)).await.map(drop)
}
