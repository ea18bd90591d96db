//! All SQL of dispatch, a file for each subject. Every write is one statement. Batches are sorted by key, so that overlapping ones do not
//! deadlock.
//!
//! Rows are locked in one order: lease, jobs, couriers. What a caller can reach takes the caller's `Scope`: what is another tenant's is
//! answered like what does not exist.

mod assignments;
mod change;
mod claim;
mod couriers;
mod jobs;
pub(crate) mod operator;
mod outbox;
mod positions;
mod requests;
mod watch;

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded},
};
use sqlx::PgPool;

pub use self::{
    assignments::{Below, Content, Listed},
    claim::Claim,
    couriers::{CourierRow, Free, Registered},
    jobs::{Position, Seen},
    requests::Asked,
};

/// The columns of a [`Job`](crate::model::Job) in table `jobs`, called `j`.
macro_rules! job_columns {
    () => {
        "j.order_id, j.tenant, j.number, j.workflow, j.workflow_revision, j.order_version, j.order_status, j.event_version, \
         j.state AS job_state, j.not_before, j.waiting_since, j.attempts, j.declined, j.step_version, j.step_expects"
    };
}

/// The columns of an [`Assignment`](crate::model::Assignment) in table `assignments`, called `a`: all but those it has in common with its job.
macro_rules! assignment_columns {
    () => {
        "a.attempt, a.courier_id, a.state, a.outcome, a.offered_until, a.promised_pickup_time, a.expected_pickup_time, \
         a.expected_dropoff_time, a.create_time, a.allot_time, a.confirm_time, a.arrive_time, a.pickup_time, a.delay_told_time, a.ended_at"
    };
}

use assignment_columns;
use job_columns;

/// Access to the schema.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    /// For what runs all the time.
    dedicated: Dedicated,
    /// For what callers ask of one courier or order.
    calls: Dedicated,
}

impl Store {
    /// Of the schema that `pool` sees as its own.
    pub fn new(pool: PgPool) -> Self {
        Self { dedicated: Dedicated::new(&pool, Commit::Durable), calls: Dedicated::for_calls(&pool), pool }
    }

    /// The epoch of the topic of transitions.
    pub async fn transitions_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM state_machine.log_epoch").fetch_one(&self.pool)).await
    }
}
