//! The SQL of the mails: the ledger, its owners, and the views of other services.
//!
//! Statements that change several rows take them in key order (arrays sorted by the caller, `unnest` outside): overlapping
//! batches would deadlock otherwise. States are numbers: 1 due, 3 sending, 4 sent, 5 dead, 6 suppressed.
//!
//! An open mail (1, 3) has a `next_try_time`, which is what the index of open mails knows, or was taken when it was entered and is in a
//! row of `mail_claims`. A step that leaves `next_try_time` alone costs no entry in any index.

mod copies;
mod entering;
pub mod operator;
mod owners;
mod sending;

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded},
};
use comanda_proto::v1::MailState;
use sqlx::PgPool;
use uuid::Uuid;

pub use self::{copies::Found, owners::OWNER_SECONDS};
use super::row::{Entry, Known};

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
            "SELECT w.order_id, c.tenant, l.version, l.not_before, l.is_settled, c.has_address
             FROM unnest($1) AS w (order_id)
             CROSS JOIN LATERAL (
                 SELECT coalesce(max(version), 0) AS version,
                        max(next_try_time) FILTER (WHERE state = 1) AS not_before,
                        count(*) FILTER (WHERE state IN (1, 3)) = 0 AS is_settled
                 FROM mails
                 WHERE order_id = w.order_id
             ) l
             CROSS JOIN LATERAL (
                 SELECT tenant, email <> '' AS has_address
                 FROM ordering.order_contacts
                 WHERE order_id = w.order_id
                 LIMIT 1 -- there is at most one; without the limit Postgres may turn the join round and read every order
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
            "SELECT order_id, version, to_status AS status, workflow, workflow_revision, transition_time
             FROM state_machine.order_history
             WHERE order_id = $1 AND version > $2 AND version <= $3
             ORDER BY version",
        );
        bounded(statement.bind(order).bind(above).bind(to).fetch_all(&self.pool)).await
    }
}

fn code(state: MailState) -> i16 {
    state as i16
}
