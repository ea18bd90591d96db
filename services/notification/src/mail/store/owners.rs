//! The owners of mails that are being sent: each a row that must be renewed.

use comanda_kit::postgres::{StoreError, bounded, repeated};
use uuid::Uuid;

use super::Store;

/// How long an owner lives without renewal, by the database's clock.
pub const OWNER_SECONDS: f64 = 10.0;
/// The gauges stop counting here, so that a long backlog costs nothing extra.
const COUNT_LIMIT: i64 = 100_000;

/// What a mail becomes whose owner has ended while it was being sent.
macro_rules! due_after_loss {
    () => {
        "state = 1, owner = NULL, next_try_time = now(), last_reply = 'ambiguous: the sender was lost', update_time = now()"
    };
}

impl Store {
    /// Adds an owner.
    pub async fn register(&self, owner: Uuid) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO mail_owners (owner, expires_at)
             VALUES ($1, now() + make_interval(secs => $2))",
        );
        bounded(statement.bind(owner).bind(OWNER_SECONDS).execute(&self.pool)).await?;
        Ok(())
    }

    /// Prolongs an owner's row; false if it had expired: then others have its mails.
    pub async fn renew(&self, owner: Uuid) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "UPDATE mail_owners
             SET expires_at = now() + make_interval(secs => $2)
             WHERE owner = $1 AND expires_at > now()",
        );
        let done = bounded(statement.bind(owner).bind(OWNER_SECONDS).execute(&self.pool)).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes an owner and gives back the mails that it still has: sending none of them may have begun.
    pub async fn release(&self, owner: Uuid) -> Result<(), StoreError> {
        let statement = || {
            sqlx::query(
                "WITH claims AS (
                     DELETE FROM mail_claims WHERE owner = $1 RETURNING order_ids, versions
                 ), given_back AS (
                     UPDATE mails
                     SET state = 1, attempts = attempts - 1, owner = NULL, update_time = now()
                     WHERE next_try_time IS NOT NULL AND owner = $1
                 ), given_back_of_claims AS (
                     UPDATE mails m
                     SET state = 1, attempts = attempts - 1, owner = NULL, next_try_time = now(), update_time = now()
                     FROM (SELECT unnest(order_ids) AS order_id, unnest(versions) AS version FROM claims) k
                     WHERE m.order_id = k.order_id AND m.version = k.version AND m.copy = 0
                       AND m.state = 3 AND m.owner = $1 AND m.next_try_time IS NULL
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
    /// there is a row of an owner that has ended; those rows stay for longer than any statement of such an owner can last.
    pub async fn recover(&self, look_anyway: bool) -> Result<u64, StoreError> {
        let statement = sqlx::query_scalar::<_, i64>(concat!(
            "WITH ended AS (
                 DELETE FROM mail_owners WHERE expires_at < now() - interval '15 seconds'
             ), claims AS (
                 DELETE FROM mail_claims c
                 WHERE ($1 OR EXISTS (SELECT FROM mail_owners WHERE expires_at <= now()))
                   AND NOT EXISTS (SELECT FROM mail_owners o WHERE o.owner = c.owner AND o.expires_at > now())
                 RETURNING owner, order_ids, versions
             ), lost AS MATERIALIZED (
                 SELECT order_id, version, copy
                 FROM mails m
                 WHERE ($1 OR EXISTS (SELECT FROM mail_owners WHERE expires_at <= now()))
                   AND next_try_time IS NOT NULL
                   AND state = 3
                   AND NOT EXISTS (SELECT FROM mail_owners o WHERE o.owner = m.owner AND o.expires_at > now())
                 FOR UPDATE OF m SKIP LOCKED
             ), due AS (
                 UPDATE mails m
                 SET ",
            due_after_loss!(),
            "
                 FROM lost l
                 WHERE m.order_id = l.order_id AND m.version = l.version AND m.copy = l.copy
                 RETURNING 1
             ), due_of_claims AS (
                 -- waits for who holds a mail, and does not pass over it: its claim is gone after this
                 UPDATE mails m
                 SET ",
            due_after_loss!(),
            "
                 FROM (SELECT owner, unnest(order_ids) AS order_id, unnest(versions) AS version FROM claims) k
                 WHERE m.order_id = k.order_id AND m.version = k.version AND m.copy = 0
                   AND m.state = 3 AND m.owner = k.owner AND m.next_try_time IS NULL
                 RETURNING 1
             )
             SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM due_of_claims)",
        ));
        Ok(bounded(statement.bind(look_anyway).fetch_one(&self.pool)).await?.unsigned_abs())
    }

    /// How many mails are due, being sent, and undelivered. Stops counting at 100,000.
    pub async fn counts(&self) -> Result<[(&'static str, i64); 3], StoreError> {
        let statement = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 3) + (SELECT count(*) FROM claimed_mails),
                    (SELECT count(*) FROM (SELECT FROM mails WHERE undelivered_time IS NOT NULL LIMIT $1) undelivered)
             FROM (SELECT state FROM mails WHERE next_try_time IS NOT NULL LIMIT $1) open",
        );
        let (due, sending, undelivered) = bounded(statement.bind(COUNT_LIMIT).fetch_one(&self.pool)).await?;
        Ok([("due", due), ("sending", sending), ("undelivered", undelivered)])
    }
}
