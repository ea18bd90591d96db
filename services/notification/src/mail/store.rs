//! The SQL of the mails: the ledger, its owners, and the views of other services.
//!
//! Statements that change several rows take them in key order (arrays sorted by the caller, `unnest` outside): overlapping
//! batches would deadlock otherwise. States stand as numbers: 1 due, 3 sending, 4 sent, 5 dead, 6 suppressed.
//!
//! A mail is open (1, 3) while it has a `next_try_time`, which is what the index of open mails knows; a step that leaves that
//! column alone costs no entry in any index.

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded, repeated},
};
use comanda_proto::{
    v1::{MailState, Workflow},
    views::WorkflowRow,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Change, Claimed, Entry, Key, Known, Listed, NewMail};

/// How long an owner lives without renewal, by the database's clock.
pub const OWNER_SECONDS: f64 = 10.0;
/// The gauges stop counting here, so that a long backlog costs nothing extra.
const COUNT_LIMIT: i64 = 100_000;

/// The database of the role, seen as schema `notification`.
#[derive(Clone, Debug)]
pub struct Store {
    pub pool: PgPool,
    dedicated: Dedicated,
}

impl Store {
    /// Access through `pool`, which must see the schema as its own.
    pub fn new(pool: PgPool) -> Self {
        Self { dedicated: Dedicated::new(&pool, Commit::Durable), pool }
    }

    /// Epoch of the topic's log.
    pub async fn topic_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM state_machine.log_epoch").fetch_one(&self.pool)).await
    }

    /// What the ledger holds of each order that exists, by order.
    pub async fn known(&self, orders: &[Uuid]) -> Result<Vec<Known>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT w.order_id, l.version, l.not_before, c.has_address
             FROM unnest($1) AS w (order_id)
             CROSS JOIN LATERAL (
                 SELECT coalesce(max(version), 0) AS version,
                        max(next_try_time) FILTER (WHERE state = 1) AS not_before
                 FROM mails
                 WHERE order_id = w.order_id
             ) l
             CROSS JOIN LATERAL (
                 SELECT email <> '' AS has_address
                 FROM ordering.order_contacts
                 WHERE order_id = w.order_id
                 LIMIT 1 -- one there is; without it Postgres may turn the join round and read every order
             ) c
             ORDER BY w.order_id",
        );
        let mut connection = self.dedicated.take().await?;
        let known = bounded(statement.bind(orders).fetch_all(&mut *connection)).await;
        connection.end(known)
    }

    /// The transitions of one order above a version and up to another.
    pub async fn history(&self, order: Uuid, above: i64, to: i64) -> Result<Vec<Entry>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT order_id, version, to_status AS status, workflow, workflow_revision
             FROM state_machine.order_history
             WHERE order_id = $1 AND version > $2 AND version <= $3
             ORDER BY version",
        );
        bounded(statement.bind(order).bind(above).bind(to).fetch_all(&self.pool)).await
    }

    /// One revision of a workflow.
    pub async fn workflow(&self, name: &str, revision: i32) -> Result<Option<Workflow>, StoreError> {
        let statement = sqlx::query_as::<_, WorkflowRow>(
            "SELECT name, revision, definition, current
             FROM state_machine.workflow_definitions
             WHERE name = $1 AND revision = $2",
        );
        let row = bounded(statement.bind(name).bind(revision).fetch_optional(&self.pool)).await?;
        Ok(row.map(WorkflowRow::into_workflow).transpose()?)
    }

    /// Enters mails, sorted by key, dropping those that are known.
    pub async fn enter(&self, mails: &[NewMail]) -> Result<(), StoreError> {
        let orders: Vec<_> = mails.iter().map(|mail| mail.order_id).collect();
        let versions: Vec<_> = mails.iter().map(|mail| mail.version).collect();
        let statuses: Vec<_> = mails.iter().map(|mail| &*mail.status).collect();
        let states: Vec<_> = mails.iter().map(|mail| code(mail.state)).collect();
        let not_before: Vec<_> = mails.iter().map(|mail| mail.not_before).collect();
        let statement = || {
            sqlx::query(
                "INSERT INTO mails (order_id, version, status, state, next_try_time)
                 SELECT order_id, version, status, state, CASE WHEN state = 1 THEN greatest(now(), not_before) END
                 FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::smallint[], $5::timestamptz[])
                     AS w (order_id, version, status, state, not_before)
                 ON CONFLICT DO NOTHING",
            )
            .bind(&orders)
            .bind(&versions)
            .bind(&statuses)
            .bind(&states)
            .bind(&not_before)
        };
        self.dedicated
            .repeated(|mut connection| async {
                let result = statement().execute(&mut *connection).await;
                (connection, result)
            })
            .await?;
        Ok(())
    }

    /// Takes due mails for an owner that is alive, which counts as a try: none whose order has an earlier one that is not finished.
    pub async fn claim(
        &self,
        owner: Uuid,
        most: i64,
        since: Option<OffsetDateTime>,
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
                         -- asked for a next_try_time instead, Postgres reads the index of all open mails for each of them, as
                         -- long as it believes that to be short
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
             LEFT JOIN LATERAL (SELECT * FROM ordering.order_contacts o WHERE o.order_id = d.order_id LIMIT 1) c ON true
             WHERE m.order_id = d.order_id AND m.version = d.version AND m.copy = d.copy
             RETURNING m.order_id, m.version, m.copy, m.status, m.attempts, m.next_try_time,
                       coalesce(c.number, 0) AS number, coalesce(c.customer_name, '') AS customer_name,
                       coalesce(c.email, '') AS email, coalesce(c.locale, '') AS locale, coalesce(c.content, '') AS content,
                       coalesce(c.workflow, '') AS workflow, coalesce(c.workflow_revision, 0) AS workflow_revision",
        );
        let mut connection = self.dedicated.take().await?;
        let claimed = bounded(statement.bind(owner).bind(most).bind(since).fetch_all(&mut *connection)).await;
        connection.end(claimed)
    }

    /// Notes what became of mails, sorted by key, each only if it still is in the hands of the owner that the change names, at the same
    /// try. Returns which were noted. When a mail is put off, later ones of its order are as well: they could not be sent, and would
    /// crowd the head of the index.
    pub async fn change(&self, changes: &[Change]) -> Result<Vec<Key>, StoreError> {
        let orders: Vec<_> = changes.iter().map(|change| change.key.order_id).collect();
        let versions: Vec<_> = changes.iter().map(|change| change.key.version).collect();
        let copies: Vec<_> = changes.iter().map(|change| change.key.copy).collect();
        let owners: Vec<_> = changes.iter().map(|change| change.owner).collect();
        let tries: Vec<_> = changes.iter().map(|change| change.tried).collect();
        let states: Vec<_> = changes.iter().map(|change| code(change.to.state)).collect();
        let attempts: Vec<_> = changes.iter().map(|change| change.to.attempts).collect();
        let waits: Vec<_> = changes.iter().map(|change| change.wait.as_secs_f64()).collect();
        let replies: Vec<_> = changes.iter().map(|change| &*change.reply).collect();
        let statement = || {
            sqlx::query_as(
                "WITH changed AS (
                     UPDATE mails m
                     SET state = w.state,
                         attempts = w.attempts,
                         owner = NULL,
                         next_try_time = CASE WHEN w.state = 1 THEN now() + make_interval(secs => w.wait) END,
                         last_reply = coalesce(nullif(w.reply, ''), m.last_reply),
                         update_time = now()
                     FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::uuid[], $5::integer[], $6::smallint[],
                                 $7::integer[], $8::float8[], $9::text[])
                         AS w (order_id, version, copy, owner, tried, state, attempts, wait, reply)
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
            .bind(&replies)
        };
        self.dedicated
            .repeated(|mut connection| async {
                let result = statement().fetch_all(&mut *connection).await;
                (connection, result)
            })
            .await
    }

    /// Begins the life of an owner.
    pub async fn register(&self, owner: Uuid) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO mail_owners (owner, expires_at)
             VALUES ($1, now() + make_interval(secs => $2))",
        );
        bounded(statement.bind(owner).bind(OWNER_SECONDS).execute(&self.pool)).await?;
        Ok(())
    }

    /// Prolongs the life of an owner; false if it had ended: then others have its mails.
    pub async fn renew(&self, owner: Uuid) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "UPDATE mail_owners
             SET expires_at = now() + make_interval(secs => $2)
             WHERE owner = $1 AND expires_at > now()",
        );
        let done = bounded(statement.bind(owner).bind(OWNER_SECONDS).execute(&self.pool)).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends the life of an owner and gives back what it still has: none of that may have been begun.
    pub async fn release(&self, owner: Uuid) -> Result<(), StoreError> {
        let statement = || {
            sqlx::query(
                "WITH given_back AS (
                     UPDATE mails
                     SET state = 1, attempts = attempts - 1, owner = NULL, update_time = now()
                     WHERE next_try_time IS NOT NULL AND owner = $1
                 )
                 DELETE FROM mail_owners WHERE owner = $1",
            )
            .bind(owner)
            .execute(&self.pool)
        };
        repeated(statement).await?;
        Ok(())
    }

    /// Takes the mails of owners that have ended: due again at once. Returns how many. Looks through all open mails, so only when told to, or while
    /// there is a row of an owner that has ended; those stay for longer than any statement of such an owner can last.
    pub async fn recover(&self, look_anyway: bool) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "WITH ended AS (
                 DELETE FROM mail_owners WHERE expires_at < now() - interval '15 seconds'
             ), lost AS MATERIALIZED (
                 SELECT order_id, version, copy
                 FROM mails m
                 WHERE ($1 OR EXISTS (SELECT FROM mail_owners WHERE expires_at <= now()))
                   AND next_try_time IS NOT NULL
                   AND state = 3
                   AND NOT EXISTS (SELECT FROM mail_owners o WHERE o.owner = m.owner AND o.expires_at > now())
                 FOR UPDATE OF m SKIP LOCKED
             )
             UPDATE mails m
             SET state = 1,
                 owner = NULL,
                 next_try_time = now(),
                 last_reply = 'ambiguous: the sender was lost',
                 update_time = now()
             FROM lost l
             WHERE m.order_id = l.order_id AND m.version = l.version AND m.copy = l.copy",
        );
        Ok(bounded(statement.bind(look_anyway).execute(&self.pool)).await?.rows_affected())
    }

    /// How many mails are not finished, by state.
    pub async fn open(&self) -> Result<[(&'static str, i64); 2], StoreError> {
        let statement = sqlx::query_as::<_, (i64, i64)>(
            "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 3)
             FROM (SELECT state FROM mails WHERE next_try_time IS NOT NULL LIMIT $1) open",
        );
        let (due, sending) = bounded(statement.bind(COUNT_LIMIT).fetch_one(&self.pool)).await?;
        Ok([("due", due), ("sending", sending)])
    }

    /// Whether there is such an order.
    pub async fn order_exists(&self, order: Uuid) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar("SELECT EXISTS (SELECT FROM ordering.order_contacts WHERE order_id = $1)");
        bounded(statement.bind(order).fetch_one(&self.pool)).await
    }

    /// Mails of an order above a key, by key.
    pub async fn list(&self, above: Key, most: i64) -> Result<Vec<Listed>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT m.order_id, m.version, m.copy, m.status, m.state, m.attempts, m.last_reply, m.next_try_time, m.update_time,
                    coalesce(c.email, '') AS email
             FROM mails m
             LEFT JOIN ordering.order_contacts c ON c.order_id = m.order_id
             WHERE m.order_id = $1 AND (m.version, m.copy) > ($2, $3)
             ORDER BY m.version, m.copy
             LIMIT $4",
        );
        let statement = statement.bind(above.order_id).bind(above.version).bind(above.copy).bind(most);
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// Enters a further copy of a mail all of whose copies are finished, and returns its number.
    pub async fn enter_copy(&self, order: Uuid, version: i64) -> Result<Option<i32>, StoreError> {
        let statement = sqlx::query_scalar(
            "INSERT INTO mails (order_id, version, copy, status, state)
             SELECT order_id, version, max(copy) + 1, min(status), 1
             FROM mails
             WHERE order_id = $1 AND version = $2
             GROUP BY order_id, version
             HAVING bool_and(state IN (4, 5))
             ON CONFLICT DO NOTHING
             RETURNING copy",
        );
        bounded(statement.bind(order).bind(version).fetch_optional(&self.pool)).await
    }

    /// The states of the copies of a mail.
    pub async fn states(&self, order: Uuid, version: i64) -> Result<Vec<i16>, StoreError> {
        let statement = sqlx::query_scalar("SELECT state FROM mails WHERE order_id = $1 AND version = $2");
        bounded(statement.bind(order).bind(version).fetch_all(&self.pool)).await
    }
}

fn code(state: MailState) -> i16 {
    state as i16
}
