//! A bounded share of the connections for calls that read much, so that no number of them keeps others from the database.

use std::{sync::Arc, time::Duration};

use comanda_kit::errors::ApiError;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// How long a call waits for its turn.
const WAIT: Duration = Duration::from_secs(1);

/// How many such calls may run at once.
#[derive(Clone, Debug)]
pub struct Share(Arc<Semaphore>);

impl Share {
    /// Half of a pool's connections, at least one.
    pub fn of(connections: u32) -> Self {
        Self(Arc::new(Semaphore::new((connections as usize / 2).max(1))))
    }

    /// Waits for a place, for a short time; then the call is refused with RESOURCE_EXHAUSTED.
    pub async fn enter(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let place = timeout(WAIT, self.0.acquire()).await.map_err(|_| ApiError::overloaded())?;
        Ok(place.expect("the semaphore is never closed"))
    }
}
