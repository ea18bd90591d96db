//! What an operator may ask of ordering, beside the running roles.

use anyhow::Result;
use comanda_kit::{postgres, relay};

use crate::store::SCHEMA;
pub use crate::store::operator::{existing, orders, put_back, remove};

/// Access for one command.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its outbox and its topic.
    pub relay: relay::Operator,
}

impl Operator {
    /// Connects at the first use.
    pub fn connect(postgres: &postgres::Config) -> Result<Self> {
        Ok(Self { relay: relay::Operator::new(postgres::pool(postgres, SCHEMA)?) })
    }
}
