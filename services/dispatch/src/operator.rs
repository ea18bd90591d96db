//! What an operator may ask of dispatch, beside the running role.

use anyhow::Result;
use comanda_kit::{
    dead_letters::{self, DeadLetter},
    postgres::{self, StoreError},
    relay,
};
use sqlx::PgPool;

pub use crate::store::operator::{Counts, put_back, remove, unfinished};
use crate::{SCHEMA, store};

/// Access for one command.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its outbox and its topic.
    pub relay: relay::Operator,
    pool: PgPool,
}

impl Operator {
    /// Connects at the first use.
    pub fn connect(postgres: &postgres::Config) -> Result<Self> {
        let pool = postgres::pool(postgres, SCHEMA)?;
        Ok(Self { relay: relay::Operator::new(pool.clone()), pool })
    }

    /// Counts what is open, of one tenant or of all, up to `limit`.
    pub async fn counts(&self, tenant: Option<&str>, limit: i64) -> Result<Counts, StoreError> {
        store::operator::counts(&self.pool, tenant, limit).await
    }

    /// The oldest dead letters, at most `limit`.
    pub async fn dead_letters(&self, limit: i64) -> Result<Vec<DeadLetter>, StoreError> {
        dead_letters::list(&self.pool, limit).await
    }

    /// How many dead letters there are, counted up to `limit`.
    pub async fn count_dead_letters(&self, limit: i64) -> Result<i64, StoreError> {
        dead_letters::count(&self.pool, limit).await
    }

    /// Forgets a dead letter.
    pub async fn forget_dead_letter(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        dead_letters::forget(&self.pool, letter).await
    }

    /// Closes its connections.
    pub async fn close(self) {
        self.pool.close().await;
    }
}
