//! What an operator may ask of notification, beside the running roles.

use anyhow::Result;
use comanda_kit::{
    dead_letters::{self, DeadLetter},
    postgres::{self, StoreError},
};
use sqlx::PgPool;

pub use crate::mail::operator::{erase_replies, missing, remove, settled};
use crate::{mail, watch::store::SCHEMA};

/// Access for one command.
#[derive(Clone, Debug)]
pub struct Operator {
    pool: PgPool,
}

impl Operator {
    /// Connects at the first use.
    pub fn connect(postgres: &postgres::Config) -> Result<Self> {
        Ok(Self { pool: postgres::pool(postgres, SCHEMA)? })
    }

    /// How many mails of one tenant, or of all, are in each state, by its number; of a large ledger only those that are not finished or not
    /// delivered.
    pub async fn mails_by_state(&self, tenant: Option<&str>, limit: i64) -> Result<Vec<(i16, i64)>, StoreError> {
        mail::operator::by_state(&self.pool, tenant, limit).await
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
}
