//! Listing mails, and entering further copies of them. Every statement names the tenant.

use comanda_kit::{
    access::Scope,
    postgres::{StoreError, bounded},
};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::row::{Key, Listed, Undelivered},
    Store,
};

/// What is known of an order for which a copy is wanted.
#[derive(Clone, Debug, FromRow)]
pub struct Found {
    pub workflow: String,
    pub workflow_revision: i32,
    pub has_address: bool,
    /// The status that the mail reports; empty where the ledger has no such mail.
    pub status: String,
    /// Of all copies, by copy.
    pub states: Vec<i16>,
}

impl Store {
    /// Whether the caller's tenant has such an order.
    pub async fn order_exists(&self, scope: &Scope, order: Uuid) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM ordering.order_contacts WHERE order_id = $1 AND tenant = $2)",
        );
        bounded(statement.bind(order).bind(scope.tenant()).fetch_one(&self.pool)).await
    }

    /// Mails of an order above a key, by key.
    pub async fn of_order(&self, scope: &Scope, above: Key, most: i64) -> Result<Vec<Listed>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT m.order_id, m.version, m.copy, m.status, m.state, m.attempts, m.last_reply, m.next_try_time, m.undelivered_time,
                    m.update_time, coalesce(c.number, 0) AS number, coalesce(c.email, '') AS email
             FROM mails m
             LEFT JOIN ordering.order_contacts c ON c.order_id = m.order_id
             WHERE m.order_id = $1 AND (m.version, m.copy) > ($2, $3) AND m.tenant = $4
             ORDER BY m.version, m.copy
             LIMIT $5",
        );
        let statement =
            statement.bind(above.order_id).bind(above.version).bind(above.copy).bind(scope.tenant()).bind(most);
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// Undelivered mails after a place in their order: time, then key.
    pub async fn undelivered(
        &self,
        scope: &Scope,
        filter: &Undelivered,
        after: Option<(OffsetDateTime, Key)>,
        most: i64,
    ) -> Result<Vec<Listed>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT m.order_id, m.version, m.copy, m.status, m.state, m.attempts, m.last_reply, m.next_try_time, m.undelivered_time,
                    m.update_time, coalesce(c.number, 0) AS number, coalesce(c.email, '') AS email
             FROM mails m
             LEFT JOIN LATERAL (SELECT number, email FROM ordering.order_contacts o WHERE o.order_id = m.order_id LIMIT 1) c ON true
             WHERE m.tenant = $1
               AND m.undelivered_time IS NOT NULL
               AND m.undelivered_time >= $2
               AND m.undelivered_time < $3
               AND m.state = ANY ($4)
               AND ($5::text[] = '{}' OR m.status = ANY ($5))
               AND position(lower($6) IN lower(m.last_reply)) > 0
               AND (m.undelivered_time, m.order_id, m.version, m.copy) > ($7, $8, $9, $10)
             ORDER BY m.undelivered_time, m.order_id, m.version, m.copy
             LIMIT $11",
        );
        let (time, key) =
            after.unwrap_or((OffsetDateTime::UNIX_EPOCH, Key { order_id: Uuid::nil(), version: 0, copy: 0 }));
        let statement = statement
            .bind(scope.tenant())
            .bind(filter.from.unwrap_or(OffsetDateTime::UNIX_EPOCH))
            .bind(filter.before.unwrap_or(FAR))
            .bind(&filter.states)
            .bind(&filter.statuses)
            .bind(&filter.reply_contains)
            .bind(time)
            .bind(key.order_id)
            .bind(key.version)
            .bind(key.copy)
            .bind(most);
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// The copy that a request has made.
    pub async fn copy_of_request(&self, scope: &Scope, request: Uuid) -> Result<Option<Key>, StoreError> {
        let statement =
            sqlx::query_as("SELECT order_id, version, copy FROM mails WHERE tenant = $1 AND request_id = $2");
        bounded(statement.bind(scope.tenant()).bind(request).fetch_optional(&self.pool)).await
    }

    /// What is known of an order and the mail of one version; `None` where the tenant has no such order.
    pub async fn find(&self, scope: &Scope, order: Uuid, version: i64) -> Result<Option<Found>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT c.workflow, c.workflow_revision, c.email <> '' AS has_address, coalesce(m.status, '') AS status,
                    coalesce(m.states, '{}') AS states
             FROM ordering.order_contacts c
             LEFT JOIN LATERAL (
                 SELECT min(status) AS status, array_agg(state ORDER BY copy) AS states
                 FROM mails
                 WHERE order_id = $1 AND version = $2 AND tenant = $3
             ) m ON true
             WHERE c.order_id = $1 AND c.tenant = $3",
        );
        bounded(statement.bind(order).bind(version).bind(scope.tenant()).fetch_optional(&self.pool)).await
    }

    /// Enters a further copy of a mail all of whose copies are finished, and returns its number. Nothing is entered where another call
    /// was first.
    pub async fn enter_copy(
        &self,
        scope: &Scope,
        order: Uuid,
        version: i64,
        request: Option<Uuid>,
    ) -> Result<Option<i32>, StoreError> {
        let statement = sqlx::query_scalar(
            "WITH made AS (
                 INSERT INTO mails (order_id, version, copy, tenant, status, transition_time, state, request_id)
                 SELECT order_id, version, max(copy) + 1, min(tenant), min(status), min(transition_time), 1, $4
                 FROM mails
                 WHERE order_id = $1 AND version = $2 AND tenant = $3
                 GROUP BY order_id, version
                 HAVING bool_and(state IN (4, 5, 6))
                 ON CONFLICT DO NOTHING
                 RETURNING copy
             ), handled AS (
                 UPDATE mails
                 SET undelivered_time = NULL
                 WHERE order_id = $1 AND version = $2 AND undelivered_time IS NOT NULL AND EXISTS (SELECT FROM made)
             )
             SELECT copy FROM made",
        );
        let statement = statement.bind(order).bind(version).bind(scope.tenant()).bind(request);
        bounded(statement.fetch_optional(&self.pool)).await
    }

    /// Enters a further copy of each undelivered mail that the filter selects, oldest first, `most` at most. Returns how many were selected,
    /// how many copies were made, and the time of the database.
    pub async fn enter_copies(
        &self,
        scope: &Scope,
        filter: &Undelivered,
        most: i64,
    ) -> Result<(i64, i64, OffsetDateTime), StoreError> {
        let statement = sqlx::query_as(
            "WITH chosen AS MATERIALIZED (
                 SELECT order_id, version, copy, tenant, status, transition_time
                 FROM mails
                 WHERE tenant = $1
                   AND undelivered_time IS NOT NULL
                   AND undelivered_time >= $2
                   AND undelivered_time < $3
                   AND state = ANY ($4)
                   AND ($5::text[] = '{}' OR status = ANY ($5))
                   AND position(lower($6) IN lower(last_reply)) > 0
                 ORDER BY undelivered_time, order_id, version, copy
                 LIMIT $7
                 FOR UPDATE SKIP LOCKED
             ), made AS (
                 INSERT INTO mails (order_id, version, copy, tenant, status, transition_time, state)
                 SELECT order_id, version, copy + 1, tenant, status, transition_time, 1
                 FROM chosen
                 ON CONFLICT DO NOTHING
                 RETURNING 1
             ), handled AS (
                 UPDATE mails m
                 SET undelivered_time = NULL
                 FROM chosen c
                 WHERE m.order_id = c.order_id AND m.version = c.version AND m.copy = c.copy
             )
             SELECT (SELECT count(*) FROM chosen), (SELECT count(*) FROM made), now()",
        );
        let statement = statement
            .bind(scope.tenant())
            .bind(filter.from.unwrap_or(OffsetDateTime::UNIX_EPOCH))
            .bind(filter.before.unwrap_or(FAR))
            .bind(&filter.states)
            .bind(&filter.statuses)
            .bind(&filter.reply_contains)
            .bind(most);
        bounded(statement.fetch_one(&self.pool)).await
    }
}

/// After every time that a mail can have.
const FAR: OffsetDateTime = time::macros::datetime!(9999-12-31 00:00 UTC);
