//! All SQL of dispatch, a file for each subject. Every write is one statement. Batches are sorted by key, so that overlapping ones do not
//! deadlock.
//!
//! Rows are locked in one order: lease, jobs, couriers. What a caller can reach takes the caller's `Scope`: what is another tenant's is
//! answered like what does not exist.

mod outbox;
mod positions;

use comanda_kit::dedicated::{Commit, Dedicated};
use sqlx::PgPool;

/// Access to the schema.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    /// For what runs all the time.
    dedicated: Dedicated,
}

impl Store {
    /// Of the schema that `pool` sees as its own.
    pub fn new(pool: PgPool) -> Self {
        Self { dedicated: Dedicated::new(&pool, Commit::Durable), pool }
    }
}
