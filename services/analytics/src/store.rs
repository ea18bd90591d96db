//! All SQL of analytics. A batch is one transaction ([`Unit`]); its rows are written in the order of their keys.
//!
//! Two databases may be meant: the numbers are in one of analytics' own or in that of the other services; the history is always in the latter.
//! What a caller can reach takes the caller's [`Scope`](comanda_kit::access::Scope).

mod generations;
mod history;
mod offsets;
mod reports;
mod rows;
mod tidy;
mod unit;

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded},
};
use sqlx::PgPool;

pub use self::{
    generations::Generation,
    history::Stretch,
    offsets::{FoldState, Place},
    reports::{CountRow, CourierRow, DwellRow, EndRow, PickupRow, RevenueRow, Wanted},
    tidy::uncounted,
    unit::Unit,
};
use crate::event::Topic;

/// The schema that this service alone writes.
pub const SCHEMA: &str = "analytics";

/// Access to the numbers and to the history.
#[derive(Clone, Debug)]
pub struct Store {
    numbers: PgPool,
    source: PgPool,
    folding: Dedicated,
}

impl Store {
    /// `numbers` sees the schema of analytics as its own, `source` is the database of the other services.
    pub fn new(numbers: PgPool, source: PgPool) -> Self {
        // A crash of the database undoes effect and offsets together: what is lost is then folded again.
        Self { folding: Dedicated::new(&numbers, Commit::Relaxed), numbers, source }
    }

    /// Where the numbers and the dead letters are.
    pub fn numbers(&self) -> &PgPool {
        &self.numbers
    }

    /// The epoch of a topic, as its writer publishes it.
    pub async fn topic_epoch(&self, topic: Topic) -> Result<i64, StoreError> {
        let statement = match topic {
            Topic::Transitions => "SELECT topic_epoch FROM state_machine.log_epoch",
            Topic::Assignments => "SELECT topic_epoch FROM dispatch.log_epoch",
        };
        bounded(sqlx::query_scalar(statement).fetch_one(&self.source)).await
    }

    /// Closes all connections.
    pub async fn close(self) {
        self.numbers.close().await;
        self.source.close().await;
    }
}
