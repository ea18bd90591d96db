//! The SQL of the mails: the ledger, its owners, and the views of other services.
//!
//! Statements that change several rows take them in key order (arrays sorted by the caller, `unnest` outside): overlapping
//! batches would deadlock otherwise. States stand as numbers where a partial index must be found: 1 due, 2 claimed, 3 sending,
//! 4 sent, 5 dead, 6 suppressed.

use comanda_kit::{
    postgres::{Problem, bounded, repeated},
    sticky::{Commit, Sticky},
};
use comanda_proto::{
    v1::{MailState, Workflow},
    views::WorkflowRow,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Change, Claimed, Entry, Key, Known, Left, Listed, NewMail};

/// How long an owner lives without renewal, by the database's clock.
pub const OWNER_SECONDS: f64 = 10.0;
/// The gauges stop counting here, so that a long backlog costs nothing extra.
const COUNT_LIMIT: i64 = 100_000;

/// The database of the role, seen as schema `notification`.
#[derive(Clone, Debug)]
pub struct Store {
    pub pool: PgPool,
    sticky: Sticky,
}

impl Store {
    /// Access through `pool`, which must see the schema as its own.
    pub fn new(pool: PgPool) -> Self {
        Self { sticky: Sticky::new(&pool, Commit::Durable), pool }
    }

    /// Epoch of the topic's log.
    pub async fn topic_epoch(&self) -> Result<i64, Problem> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM state_machine.log_epoch").fetch_one(&self.pool)).await
    }

    /// What the ledger holds of each order that exists, by order.
    pub async fn known(&self, orders: &[Uuid]) -> Result<Vec<Known>, Problem> {
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
        let mut connection = self.sticky.take().await?;
        let known = bounded(statement.bind(orders).fetch_all(&mut *connection)).await;
        connection.end(known)
    }

    /// The transitions of one order above a version and up to another.
    pub async fn history(&self, order: Uuid, above: i64, to: i64) -> Result<Vec<Entry>, Problem> {
        let statement = sqlx::query_as(
            "SELECT order_id, version, to_status AS status, workflow, workflow_revision
             FROM state_machine.order_history
             WHERE order_id = $1 AND version > $2 AND version <= $3
             ORDER BY version",
        );
        bounded(statement.bind(order).bind(above).bind(to).fetch_all(&self.pool)).await
    }

    /// One revision of a workflow.
    pub async fn workflow(&self, name: &str, revision: i32) -> Result<Option<Workflow>, Problem> {
        let statement = sqlx::query_as::<_, WorkflowRow>(
            "SELECT name, revision, definition, current
             FROM state_machine.workflow_definitions
             WHERE name = $1 AND revision = $2",
        );
        let row = bounded(statement.bind(name).bind(revision).fetch_optional(&self.pool)).await?;
        Ok(row.map(WorkflowRow::into_workflow).transpose()?)
    }

    /// Enters mails, sorted by key, dropping those that are known.
    pub async fn enter(&self, mails: &[NewMail]) -> Result<(), Problem> {
        let orders: Vec<_> = mails.iter().map(|mail| mail.order_id).collect();
        let versions: Vec<_> = mails.iter().map(|mail| mail.version).collect();
        let statuses: Vec<_> = mails.iter().map(|mail| &*mail.status).collect();
        let states: Vec<_> = mails.iter().map(|mail| code(mail.state)).collect();
        let not_before: Vec<_> = mails.iter().map(|mail| mail.not_before).collect();
        let statement = || {
            sqlx::query(
                "INSERT INTO mails (order_id, version, status, state, next_try_time)
                 SELECT order_id, version, status, state, greatest(now(), not_before)
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
        self.sticky
            .repeated(|mut connection| async {
                let result = statement().execute(&mut *connection).await;
                (connection, result)
            })
            .await?;
        Ok(())
    }

    /// Takes due mails for an owner that is alive: none whose order has an earlier one that is not finished.
    pub async fn claim(&self, owner: Uuid, most: i64, since: Option<OffsetDateTime>) -> Result<Vec<Claimed>, Problem> {
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
                         AND e.state IN (1, 2, 3)
                   )
                   AND EXISTS (SELECT FROM mail_owners WHERE owner = $1 AND expires_at > now())
                 ORDER BY next_try_time
                 LIMIT $2
                 FOR UPDATE OF m SKIP LOCKED
             )
             UPDATE mails m
             SET state = 2, owner = $1, update_time = now()
             FROM due d
             LEFT JOIN LATERAL (SELECT * FROM ordering.order_contacts o WHERE o.order_id = d.order_id LIMIT 1) c ON true
             WHERE m.order_id = d.order_id AND m.version = d.version AND m.copy = d.copy
             RETURNING m.order_id, m.version, m.copy, m.status, m.attempts, m.next_try_time,
                       coalesce(c.number, 0) AS number, coalesce(c.customer_name, '') AS customer_name,
                       coalesce(c.email, '') AS email, coalesce(c.locale, '') AS locale, coalesce(c.content, '') AS content,
                       coalesce(c.workflow, '') AS workflow, coalesce(c.workflow_revision, 0) AS workflow_revision",
        );
        let mut connection = self.sticky.take().await?;
        let claimed = bounded(statement.bind(owner).bind(most).bind(since).fetch_all(&mut *connection)).await;
        connection.end(claimed)
    }

    /// Applies changes, sorted by key, each only to a mail that is still where the change expects it, in the hands of the owner it
    /// names. Returns which were applied; a change that was applied before and left its owner counts as applied. When a mail is
    /// put off, later ones of its order are as well: they could not be sent, and would crowd the head of the index.
    pub async fn change(&self, changes: &[Change]) -> Result<Vec<Key>, Problem> {
        let orders: Vec<_> = changes.iter().map(|change| change.key.order_id).collect();
        let versions: Vec<_> = changes.iter().map(|change| change.key.version).collect();
        let copies: Vec<_> = changes.iter().map(|change| change.key.copy).collect();
        let owners: Vec<_> = changes.iter().map(|change| change.owner).collect();
        let from_states: Vec<_> = changes.iter().map(|change| code(change.from.state)).collect();
        let from_attempts: Vec<_> = changes.iter().map(|change| change.from.attempts).collect();
        let to_states: Vec<_> = changes.iter().map(|change| code(change.to.state)).collect();
        let to_attempts: Vec<_> = changes.iter().map(|change| change.to.attempts).collect();
        let waits: Vec<_> = changes.iter().map(|change| change.wait.as_secs_f64()).collect();
        let replies: Vec<_> = changes.iter().map(|change| &*change.reply).collect();
        let statement = || {
            sqlx::query_as(
                "WITH changed AS (
                     UPDATE mails m
                     SET state = w.to_state,
                         attempts = w.to_attempts,
                         owner = CASE WHEN w.to_state = 3 THEN w.owner END,
                         next_try_time = now() + make_interval(secs => w.wait),
                         last_reply = coalesce(nullif(w.reply, ''), m.last_reply),
                         update_time = now()
                     FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::uuid[], $5::smallint[], $6::integer[],
                                 $7::smallint[], $8::integer[], $9::float8[], $10::text[])
                         AS w (order_id, version, copy, owner, from_state, from_attempts, to_state, to_attempts, wait, reply)
                     WHERE m.order_id = w.order_id AND m.version = w.version AND m.copy = w.copy
                       AND m.owner = w.owner
                       AND (m.state, m.attempts) IN ((w.from_state, w.from_attempts), (w.to_state, w.to_attempts))
                     RETURNING m.order_id, m.version, m.copy, m.state, m.next_try_time
                 ), put_off AS (
                     UPDATE mails l
                     SET next_try_time = c.next_try_time
                     FROM changed c
                     WHERE c.state = 1
                       AND l.order_id = c.order_id
                       AND (l.version, l.copy) > (c.version, c.copy)
                       AND l.state + 0 = 1 -- written so, Postgres does not read the index of all due mails
                       AND l.next_try_time < c.next_try_time
                 )
                 SELECT order_id, version, copy FROM changed",
            )
            .bind(&orders)
            .bind(&versions)
            .bind(&copies)
            .bind(&owners)
            .bind(&from_states)
            .bind(&from_attempts)
            .bind(&to_states)
            .bind(&to_attempts)
            .bind(&waits)
            .bind(&replies)
        };
        self.sticky
            .repeated(|mut connection| async {
                let result = statement().fetch_all(&mut *connection).await;
                (connection, result)
            })
            .await
    }

    /// Begins the life of an owner.
    pub async fn register(&self, owner: Uuid) -> Result<(), Problem> {
        let statement = sqlx::query(
            "INSERT INTO mail_owners (owner, expires_at)
             VALUES ($1, now() + make_interval(secs => $2))",
        );
        bounded(statement.bind(owner).bind(OWNER_SECONDS).execute(&self.pool)).await?;
        Ok(())
    }

    /// Prolongs the life of an owner; false if it had ended: then others have its mails.
    pub async fn renew(&self, owner: Uuid) -> Result<bool, Problem> {
        let statement = sqlx::query(
            "UPDATE mail_owners
             SET expires_at = now() + make_interval(secs => $2)
             WHERE owner = $1 AND expires_at > now()",
        );
        let done = bounded(statement.bind(owner).bind(OWNER_SECONDS).execute(&self.pool)).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends the life of an owner and gives back what it had only claimed.
    pub async fn release(&self, owner: Uuid) -> Result<(), Problem> {
        let statement = || {
            sqlx::query(
                "WITH given_back AS (
                     UPDATE mails
                     SET state = 1, owner = NULL, update_time = now()
                     WHERE owner = $1 AND state = 2
                 )
                 DELETE FROM mail_owners WHERE owner = $1",
            )
            .bind(owner)
            .execute(&self.pool)
        };
        repeated(statement).await?;
        Ok(())
    }

    /// Takes the mails of owners that have ended: due again at once.
    pub async fn recover(&self) -> Result<Vec<Left>, Problem> {
        let statement = sqlx::query_as(
            "WITH ended AS (
                 DELETE FROM mail_owners WHERE expires_at < now() - interval '1 minute'
             ), lost AS MATERIALIZED (
                 SELECT order_id, version, copy, state
                 FROM mails m
                 WHERE state IN (2, 3)
                   AND NOT EXISTS (SELECT FROM mail_owners o WHERE o.owner = m.owner AND o.expires_at > now())
                 FOR UPDATE OF m SKIP LOCKED
             )
             UPDATE mails m
             SET state = 1,
                 owner = NULL,
                 next_try_time = now(),
                 last_reply = CASE WHEN l.state = 3 THEN 'ambiguous: the sender was lost' ELSE m.last_reply END,
                 update_time = now()
             FROM lost l
             WHERE m.order_id = l.order_id AND m.version = l.version AND m.copy = l.copy
             RETURNING l.state AS was",
        );
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// How many mails are not finished, by state.
    pub async fn open(&self) -> Result<[(&'static str, i64); 3], Problem> {
        let statement = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT (SELECT count(*) FROM (SELECT FROM mails WHERE state = 1 LIMIT $1) due),
                    (SELECT count(*) FROM (SELECT FROM mails WHERE state IN (2, 3) AND state = 2 LIMIT $1) claimed),
                    (SELECT count(*) FROM (SELECT FROM mails WHERE state IN (2, 3) AND state = 3 LIMIT $1) sending)",
        );
        let (due, claimed, sending) = bounded(statement.bind(COUNT_LIMIT).fetch_one(&self.pool)).await?;
        Ok([("due", due), ("claimed", claimed), ("sending", sending)])
    }

    /// Whether there is such an order.
    pub async fn order_exists(&self, order: Uuid) -> Result<bool, Problem> {
        let statement = sqlx::query_scalar("SELECT EXISTS (SELECT FROM ordering.order_contacts WHERE order_id = $1)");
        bounded(statement.bind(order).fetch_one(&self.pool)).await
    }

    /// Mails of an order above a key, by key.
    pub async fn list(&self, above: Key, most: i64) -> Result<Vec<Listed>, Problem> {
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
    pub async fn enter_copy(&self, order: Uuid, version: i64) -> Result<Option<i32>, Problem> {
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
    pub async fn states(&self, order: Uuid, version: i64) -> Result<Vec<i16>, Problem> {
        let statement = sqlx::query_scalar("SELECT state FROM mails WHERE order_id = $1 AND version = $2");
        bounded(statement.bind(order).bind(version).fetch_all(&self.pool)).await
    }
}

fn code(state: MailState) -> i16 {
    state as i16
}
