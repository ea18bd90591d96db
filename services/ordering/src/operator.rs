//! What an operator may ask of ordering, beside the running roles.

use anyhow::Result;
use comanda_kit::{
    access::Scope,
    postgres::{self, StoreError},
    relay,
};
use comanda_proto::access::Role;

use crate::{
    erase::erase_next,
    store::{SCHEMA, Store},
};
pub use crate::{
    erase::{Batch, Erased},
    store::{
        Position,
        operator::{existing, orders, put_back, remove},
    },
};

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

    /// Removes the personal data of a customer from the next orders of a tenant behind a position, as EraseCustomer does, newest first.
    pub async fn erase_next(
        &self,
        tenant: &str,
        customer_id: &str,
        below: Option<Position>,
    ) -> Result<Batch, StoreError> {
        erase_next(&self.store, &Scope::new(tenant, "operator", Role::Operator), customer_id, below).await
    }
}
