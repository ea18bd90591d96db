//! What an operator may ask of ordering, beside the running roles.

use anyhow::Result;
use comanda_kit::{
    postgres::{self, StoreError},
    relay::{self, Outbox},
};

pub use crate::store::operator::{existing, orders, published, put_back, remove};
use crate::store::{SCHEMA, Store};

/// Access for one command.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its outbox and its topic.
    pub relay: relay::Operator,
    store: Store,
}

impl Operator {
    /// Connects at the first use.
    pub fn connect(postgres: &postgres::Config) -> Result<Self> {
        let pool = postgres::pool(postgres, SCHEMA)?;
        Ok(Self { relay: relay::Operator::new(pool.clone()), store: Store::new(pool) })
    }

    /// For how many seconds the first unpublished order has waited.
    pub async fn oldest_unpublished_seconds(&self) -> Result<f64, StoreError> {
        self.store.oldest_seconds().await
    }
}
