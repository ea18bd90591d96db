//! What an operator may ask of analytics, beside the running role.

use anyhow::Result;
use comanda_kit::{
    dead_letters::{self, DeadLetter},
    postgres::{self, StoreError},
};
use sqlx::PgPool;

use crate::{
    Config, rebuild,
    store::{FoldState, Store},
};
pub use crate::{
    rebuild::{Options, Progress},
    store::uncounted,
};

/// Access for one command.
#[derive(Clone, Debug)]
pub struct Operator {
    store: Store,
}

impl Operator {
    /// Connects at the first use. `postgres` is the database of the other services.
    pub fn connect(config: &Config, postgres: &postgres::Config) -> Result<Self> {
        Ok(Self { store: config.store(postgres)? })
    }

    /// Counts the whole history again; returns the new generation. Must not run at the same time as `comanda purge` or another rebuild: see
    /// [`Exclusive`](comanda_kit::postgres::Exclusive).
    pub async fn rebuild(&self, options: Options, progress: &mut impl Progress) -> Result<i32> {
        rebuild::rebuild(&self.store, options, progress).await
    }

    /// How far the numbers have come.
    pub async fn fold_state(&self) -> Result<FoldState, StoreError> {
        self.store.fold_state().await
    }

    /// The oldest dead letters, at most `limit`.
    pub async fn dead_letters(&self, limit: i64) -> Result<Vec<DeadLetter>, StoreError> {
        dead_letters::list(self.numbers(), limit).await
    }

    /// How many dead letters there are, counted up to `limit`.
    pub async fn count_dead_letters(&self, limit: i64) -> Result<i64, StoreError> {
        dead_letters::count(self.numbers(), limit).await
    }

    /// Forgets a dead letter.
    pub async fn forget_dead_letter(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        dead_letters::forget(self.numbers(), letter).await
    }

    /// Closes its connections.
    pub async fn close(self) {
        self.store.close().await;
    }

    fn numbers(&self) -> &PgPool {
        self.store.numbers()
    }
}
