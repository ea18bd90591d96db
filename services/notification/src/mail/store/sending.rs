//! Taking due mails, and writing the results of tries.

use std::time::Duration;

use comanda_kit::postgres::{StoreError, bounded};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::row::{Change, Claimed, Key},
    Store, code,
};

impl Store {
    /// Takes due mails for an owner that is alive, which counts as a try: none whose order has an earlier one that is not finished.
    pub async fn claim(
        &self,
        owner: Uuid,
        most: i64,
        since: Option<OffsetDateTime>,
        max_age: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        let statement = sqlx::query_as(
            "WITH due AS MATERIALIZED (
                 SELECT order_id, version, copy
                 FROM mails m
                 WHERE state = 1
                   AND next_try_time <= now()
                   AND next_try_time >= coalesce($3, '-infinity')
                   AND NOT EXISTS (
                       SELECT
                       FROM mails e
                       WHERE e.order_id = m.order_id
                         AND (e.version, e.copy) < (m.version, m.copy)
                         -- with a condition on next_try_time instead, Postgres reads the index of all open mails for each of them, as
                         -- long as it believes that index to be short
                         AND e.state IN (1, 3)
                   )
                   AND EXISTS (SELECT FROM mail_owners WHERE owner = $1 AND expires_at > now())
                 ORDER BY next_try_time
                 LIMIT $2
                 FOR UPDATE OF m SKIP LOCKED
             )
             UPDATE mails m
             SET state = 3, attempts = m.attempts + 1, owner = $1, update_time = now()
             FROM due d
             LEFT JOIN LATERAL (
                 SELECT o.number, o.customer_name, o.email, o.locale, o.content, o.workflow, o.workflow_revision, o.traceparent
                 FROM ordering.order_contacts o
                 WHERE o.order_id = d.order_id
                 LIMIT 1
             ) c ON true
             WHERE m.order_id = d.order_id AND m.version = d.version AND m.copy = d.copy
             RETURNING m.order_id, m.version, m.copy, m.tenant, m.status, m.attempts, m.next_try_time, NULL::bigint AS claim,
                       m.copy = 0 AND m.attempts = 1 AND m.transition_time < now() - make_interval(secs => $4) AS is_too_old,
                       coalesce(c.number, 0) AS number, coalesce(c.customer_name, '') AS customer_name,
                       coalesce(c.email, '') AS email, coalesce(c.locale, '') AS locale, coalesce(c.content, '') AS content,
                       coalesce(c.workflow, '') AS workflow, coalesce(c.workflow_revision, 0) AS workflow_revision, c.traceparent",
        );
        let statement = statement.bind(owner).bind(most).bind(since).bind(max_age.as_secs_f64());
        let mut connection = self.dedicated.take().await?;
        let claimed = bounded(statement.fetch_all(&mut *connection)).await;
        connection.end(claimed)
    }

    /// Writes the results of tries, sorted by key, each only if the mail still belongs to the owner that the change names, at the same
    /// try. Returns which were written. Removes the claims of which these are the last mails. When a mail is put off, later ones of its order are as well: they could not be sent, and would
    /// crowd the head of the index.
    pub async fn change(&self, changes: &[Change], ended: &[i64]) -> Result<Vec<Key>, StoreError> {
        let orders: Vec<_> = changes.iter().map(|change| change.key.order_id).collect();
        let versions: Vec<_> = changes.iter().map(|change| change.key.version).collect();
        let copies: Vec<_> = changes.iter().map(|change| change.key.copy).collect();
        let owners: Vec<_> = changes.iter().map(|change| change.owner).collect();
        let tries: Vec<_> = changes.iter().map(|change| change.tried).collect();
        let states: Vec<_> = changes.iter().map(|change| code(change.state)).collect();
        let attempts: Vec<_> = changes.iter().map(|change| change.attempts).collect();
        let waits: Vec<_> = changes.iter().map(|change| change.wait.as_secs_f64()).collect();
        let undelivered: Vec<_> = changes.iter().map(|change| change.is_undelivered).collect();
        let replies: Vec<_> = changes.iter().map(|change| &*change.reply).collect();
        let statement = || {
            sqlx::query_as(
                "WITH changed AS (
                     UPDATE mails m
                     SET state = w.state,
                         attempts = w.attempts,
                         owner = NULL,
                         next_try_time = CASE WHEN w.state = 1 THEN now() + make_interval(secs => w.wait) END,
                         undelivered_time = CASE WHEN w.is_undelivered THEN now() END,
                         last_reply = coalesce(nullif(w.reply, ''), m.last_reply),
                         update_time = now()
                     FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::uuid[], $5::integer[], $6::smallint[],
                                 $7::integer[], $8::float8[], $9::boolean[], $10::text[])
                         AS w (order_id, version, copy, owner, tried, state, attempts, wait, is_undelivered, reply)
                     WHERE m.order_id = w.order_id AND m.version = w.version AND m.copy = w.copy
                       AND m.state = 3 AND m.owner = w.owner AND m.attempts = w.tried
                     RETURNING m.order_id, m.version, m.copy, m.state, m.next_try_time
                 ), put_off AS (
                     UPDATE mails l
                     SET next_try_time = c.next_try_time
                     FROM changed c
                     WHERE c.state = 1
                       AND l.order_id = c.order_id
                       AND (l.version, l.copy) > (c.version, c.copy)
                       AND l.state = 1
                       -- written so, Postgres does not read the index of all open mails
                       AND l.next_try_time + interval '0' < c.next_try_time
                 ), ended AS (
                     DELETE FROM mail_claims WHERE claim = ANY ($11)
                 )
                 SELECT order_id, version, copy FROM changed",
            )
            .bind(&orders)
            .bind(&versions)
            .bind(&copies)
            .bind(&owners)
            .bind(&tries)
            .bind(&states)
            .bind(&attempts)
            .bind(&waits)
            .bind(&undelivered)
            .bind(&replies)
            .bind(ended)
        };
        self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await
    }
}
