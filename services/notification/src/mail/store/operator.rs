//! What the operator's commands read and write in the mail ledger. Those that take a connection work in chunks, on one that sees no schema
//! as its own.

use comanda_kit::postgres::{StoreError, bounded};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Of these orders, each with its last version, those whose mails are all finished. Without `needs_ledger` an order that has no mail of
/// its last version counts too.
pub async fn settled(
    connection: &mut PgConnection,
    orders: &[(Uuid, i64)],
    needs_ledger: bool,
) -> Result<Vec<Uuid>, StoreError> {
    let (order_ids, versions): (Vec<_>, Vec<_>) = orders.iter().copied().unzip();
    let statement = sqlx::query_scalar(
        "SELECT k.order_id
         FROM unnest($1::uuid[], $2::bigint[]) AS k (order_id, version)
         WHERE (NOT $3 OR EXISTS (
                   SELECT FROM notification.mails m WHERE m.order_id = k.order_id AND m.version = k.version))
           AND NOT EXISTS (
                   SELECT FROM notification.mails m WHERE m.order_id = k.order_id AND m.state IN (1, 3))",
    );
    bounded(statement.bind(order_ids).bind(versions).bind(needs_ledger).fetch_all(connection)).await
}

/// Of these transitions (order and version), the orders of those that have no row in the ledger.
pub async fn missing(connection: &mut PgConnection, transitions: &[(Uuid, i64)]) -> Result<Vec<Uuid>, StoreError> {
    let (order_ids, versions): (Vec<_>, Vec<_>) = transitions.iter().copied().unzip();
    let statement = sqlx::query_scalar(
        "SELECT k.order_id
         FROM unnest($1::uuid[], $2::bigint[]) AS k (order_id, version)
         WHERE NOT EXISTS (
             SELECT FROM notification.mails m WHERE m.order_id = k.order_id AND m.version = k.version)",
    );
    bounded(statement.bind(order_ids).bind(versions).fetch_all(connection)).await
}

/// Removes the mails of orders.
pub async fn remove(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "DELETE FROM notification.mails x USING unnest($1::uuid[]) AS k (order_id) WHERE x.order_id = k.order_id",
    );
    bounded(statement.bind(order_ids).execute(connection)).await.map(drop)
}

/// Removes what mail servers answered to mails of these orders; returns to how many. Addresses are masked in it, but a server may say more.
pub async fn erase_replies(connection: &mut PgConnection, order_ids: &[Uuid]) -> Result<u64, StoreError> {
    let statement = sqlx::query(
        "UPDATE notification.mails x
         SET last_reply = ''
         FROM unnest($1::uuid[]) AS k (order_id)
         WHERE x.order_id = k.order_id AND x.last_reply <> ''",
    );
    Ok(bounded(statement.bind(order_ids).execute(connection)).await?.rows_affected())
}

/// How many mails are in each state, by its number, of one tenant or of all. Of a ledger of more than `limit` mails, of all tenants, only those
/// that are not finished or not delivered are counted, each up to `limit`: they have an index.
pub async fn by_state(pool: &PgPool, tenant: Option<&str>, limit: i64) -> Result<Vec<(i16, i64)>, StoreError> {
    let all: Vec<(i16, i64, i64)> = bounded(
        sqlx::query_as(
            "SELECT state, count(*) FILTER (WHERE $2::text IS NULL OR tenant = $2), count(*)
             FROM (SELECT state, tenant FROM mails LIMIT $1 + 1) m
             GROUP BY state
             ORDER BY state",
        )
        .bind(limit)
        .bind(tenant)
        .fetch_all(pool),
    )
    .await?;
    if all.iter().map(|(.., count)| count).sum::<i64>() <= limit {
        return Ok(all.into_iter().map(|(state, count, _)| (state, count)).filter(|(_, count)| *count > 0).collect());
    }
    let statement = sqlx::query_as(
        "SELECT state, count(*)
         FROM (
             SELECT state
             FROM (
                 SELECT state FROM mails WHERE next_try_time IS NOT NULL AND ($2::text IS NULL OR tenant = $2) LIMIT $1
             ) m
             UNION ALL
             SELECT 3::smallint
             FROM claimed_mails c
             CROSS JOIN LATERAL (
                 SELECT tenant
                 FROM mails
                 WHERE order_id = c.order_id AND version = c.version AND copy = c.copy
                 LIMIT 1
             ) m
             WHERE $2::text IS NULL OR m.tenant = $2
         ) open
         GROUP BY state
         UNION ALL
         SELECT 5::smallint, count(*)
         FROM (
             SELECT FROM mails WHERE undelivered_time IS NOT NULL AND state = 5 AND ($2::text IS NULL OR tenant = $2) LIMIT $1
         ) m",
    );
    bounded(statement.bind(limit).bind(tenant).fetch_all(pool)).await
}
