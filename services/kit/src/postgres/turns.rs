//! Turns for the statements of callers, so that a pool recovers after an outage however many callers wait.
//!
//! A pool has one deadline for both waiting and connecting. After an outage the caller at the head of a long queue has almost none of it
//! left: it begins to connect, gives up at once, and so does the next caller. No connection is ever opened. With fewer turns than
//! connections callers do not wait inside the pool, and connecting gets the whole deadline.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{ACQUIRE_TIMEOUT, StoreError};

/// Turns at a pool.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// Half of the pool's connections, at least one: the other half is for work that no caller asked for.
    pub fn of(pool: &PgPool) -> Self {
        Self(Arc::new(Semaphore::new((pool.options().get_max_connections() as usize / 2).max(1))))
    }

    /// Waits for a turn; after a bounded time nothing was done.
    pub async fn take(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = timeout(ACQUIRE_TIMEOUT, self.0.clone().acquire_owned()).await.map_err(|_| StoreError::Busy)?;
        Ok(turn.expect("never closed"))
    }
}
