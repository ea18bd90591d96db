//! What the operator's commands read and write in the state machine. They work on a connection of their own, which sees no schema as its
//! own, and in chunks, so that no statement runs long.

use comanda_kit::{
    planted_sql,
    postgres::{StoreError, bounded},
    put_back,
};
use sqlx::{Connection, FromRow, PgConnection, PgPool};
use uuid::Uuid;

/// An order and its version.
#[derive(Clone, Copy, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Ended {
    pub order_id: Uuid,
    pub version: i64,
    /// Whether it ended long enough ago.
    pub is_old: bool,
}

/// Orders that have not ended, each counted up to a limit.
#[derive(Clone, Copy, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Counts {
    pub active: i64,
    /// Those whose timer has run out.
    pub due: i64,
    /// Those whose timer ran out more than a minute ago.
    pub stuck: i64,
}

/// The next orders by id, and which of them, of one tenant or of all, ended at least `days` ago by the database's clock.
pub async fn ended(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    tenant: Option<&str>,
    days: u16,
    limit: i64,
) -> Result<Vec<Ended>, StoreError> {
    let statement = sqlx::query_as(
        "SELECT s.order_id, s.version,
                s.due_at IS NULL AND s.status_time < now() - make_interval(days => $2)
                    AND ($4::text IS NULL OR s.tenant = $4) AS is_old
         FROM state_machine.states s
         WHERE s.order_id > $1
         ORDER BY s.order_id
         LIMIT $3",
    );
    let statement = statement.bind(after.unwrap_or_default()).bind(i32::from(days)).bind(limit).bind(tenant);
    bounded(statement.fetch_all(connection)).await
}

/// Which of these orders have not ended, or are not known yet.
pub async fn unfinished(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let statement = sqlx::query_scalar(
        "SELECT k.order_id
         FROM unnest($1::uuid[]) AS k (order_id)
         WHERE NOT EXISTS (SELECT FROM state_machine.states s WHERE s.order_id = k.order_id AND s.due_at IS NULL)",
    );
    bounded(statement.bind(order_ids).fetch_all(connection)).await
}

/// Every transition of these orders: order and version.
pub async fn transitions(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<Vec<(Uuid, i64)>, StoreError> {
    let statement = sqlx::query_as(
        "SELECT t.order_id, t.version
         FROM unnest($1::uuid[]) AS k (order_id)
         CROSS JOIN LATERAL (SELECT order_id, version FROM state_machine.transitions t WHERE t.order_id = k.order_id) t",
    );
    bounded(statement.bind(order_ids).fetch_all(connection)).await
}

const PUT_BACK: &str = put_back!(
    "state_machine.outbox",
    "SELECT t.order_id, t.version
     FROM unnest($1::uuid[]) AS k (order_id)
     CROSS JOIN LATERAL (SELECT order_id, version FROM state_machine.transitions t WHERE t.order_id = k.order_id) t"
);

/// Puts the outbox pointers of these orders' transitions back. The orders are locked before their transitions are read: so no later
/// transition is committed, and published, before those that are put back can be seen.
pub async fn put_back(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let mut transaction = bounded(connection.begin()).await?;
    let lock = sqlx::query_scalar(
        "SELECT s.order_id
         FROM (SELECT order_id FROM unnest($1::uuid[]) AS k (order_id) ORDER BY order_id) k
         CROSS JOIN LATERAL (
             SELECT order_id FROM state_machine.states s WHERE s.order_id = k.order_id LIMIT 1 FOR SHARE
         ) s",
    );
    let locked: Vec<Uuid> = bounded(lock.bind(order_ids).fetch_all(&mut *transaction)).await?;
    let again = planted_sql!(PUT_BACK, "republished-behind-later": "-nextval" => "nextval");
    bounded(sqlx::query(again).bind(locked).execute(&mut *transaction)).await?;
    bounded(transaction.commit()).await
}

/// Removes the state, the history and the request ids of orders.
pub async fn remove(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "WITH history AS (
             DELETE FROM state_machine.transitions x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id
         ), answered AS (
             DELETE FROM state_machine.requests x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id
         )
         DELETE FROM state_machine.states x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id",
    );
    bounded(statement.bind(order_ids).execute(connection)).await.map(drop)
}

/// Removes the reasons that callers gave for their commands to these orders; returns how many there were. What the system gave is no free text.
pub async fn erase_reasons(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<u64, StoreError> {
    let statement = sqlx::query(
        "UPDATE state_machine.transitions x
         SET reason = ''
         FROM unnest($1::uuid[]) AS k (order_id)
         WHERE x.order_id = k.order_id AND x.reason <> '' AND x.actor NOT LIKE 'system:%'",
    );
    Ok(bounded(statement.bind(order_ids).execute(connection)).await?.rows_affected())
}

/// Counts what has not ended, of one tenant or of all, up to `limit`. Every number is read from the index of active orders.
pub async fn counts(pool: &PgPool, tenant: Option<&str>, limit: i64) -> Result<Counts, StoreError> {
    let statement = sqlx::query_as(
        "SELECT (SELECT count(*) FROM (
                    SELECT FROM states WHERE due_at IS NOT NULL AND ($2::text IS NULL OR tenant = $2) LIMIT $1
                ) s) AS active,
                (SELECT count(*) FROM (
                    SELECT FROM states WHERE due_at <= now() AND ($2::text IS NULL OR tenant = $2) LIMIT $1
                ) s) AS due,
                (SELECT count(*) FROM (
                    SELECT FROM states WHERE due_at < now() - interval '1 minute' AND ($2::text IS NULL OR tenant = $2) LIMIT $1
                ) s) AS stuck",
    );
    bounded(statement.bind(limit).bind(tenant).fetch_one(pool)).await
}
