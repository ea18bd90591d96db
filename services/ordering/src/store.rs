//! All SQL of ordering. Every write is one statement. Whatever a caller can reach is asked for with the caller's [`comanda_kit::access::Scope`].

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    lease::Lease,
    postgres::{StoreError, bounded},
    relay::Kept,
};
use sqlx::PgPool;

mod erase;
mod insert;
pub(crate) mod operator;
mod outbox;
mod read;
mod window;

pub use insert::{Earlier, Stored};
pub use read::Step;
pub use window::{Position, Window};

/// The schema that this service alone writes.
pub const SCHEMA: &str = "ordering";

/// The columns of an [`OrderRow`](comanda_proto::views::OrderRow).
macro_rules! order_columns {
    () => {
        "order_id, tenant, number, customer_id, customer_name, email, locale, content, workflow, workflow_revision, create_time, \
         status, phase, version, status_time, next_transition_time"
    };
}
use order_columns;

/// Access to the schema.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    dedicated: Dedicated,
    /// For what callers ask of single orders.
    calls: Dedicated,
    kept: Kept,
}

impl Store {
    /// Access through `pool`, which must see the schema as its own.
    pub fn new(pool: PgPool) -> Self {
        let (dedicated, calls) = (Dedicated::new(&pool, Commit::Durable), Dedicated::for_calls(&pool));
        Self { dedicated, calls, kept: Kept::new(0), pool }
    }

    /// Keeps what it stores for the relay.
    #[must_use]
    pub fn with_kept(self, kept: Kept) -> Self {
        Self { kept, ..self }
    }

    /// Forgets request ids after their 7 days, at most `limit` a call. Returns how many.
    pub async fn forget_requests(&self, lease: Lease, limit: i64) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "WITH term AS MATERIALIZED (
                 SELECT FROM lease WHERE epoch = $1 FOR SHARE
             ), old AS MATERIALIZED (
                 SELECT tenant, request_id FROM requests WHERE create_time < now() - interval '7 days' LIMIT $2
             )
             DELETE FROM requests r
             USING old
             WHERE r.tenant = old.tenant AND r.request_id = old.request_id AND EXISTS (SELECT FROM term)",
        );
        Ok(bounded(statement.bind(lease.epoch).bind(limit).execute(&self.pool)).await?.rows_affected())
    }
}
