//! What makes a process the owner of the mails that it has taken: a row that it renews. It may act on it for less time than the row lasts.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use comanda_kit::{lease::Trust, postgres::StoreError};
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::store::{OWNER_SECONDS, Store};

/// How long an owner acts on its row, from before it asked. Less than [`OWNER_SECONDS`].
const TRUST: Duration = Duration::from_secs(9);
const _: () = assert!(TRUST.as_secs_f64() < OWNER_SECONDS);

/// The row of one owner.
#[derive(Debug)]
pub struct Lease {
    /// Names the owner in the mails that it has taken.
    pub owner: Uuid,
    store: Store,
    trust: Mutex<Trust>,
}

impl Lease {
    /// Adds a row for a new owner.
    pub async fn take(store: Store) -> Result<Self, StoreError> {
        let (owner, asked) = (Uuid::new_v4(), Instant::now());
        store.register(owner).await?;
        Ok(Self { owner, store, trust: Mutex::new(Trust::since(asked, TRUST)) })
    }

    /// Whether the owner may still begin to send a mail.
    pub fn is_live(&self) -> bool {
        self.trust().is_live()
    }

    /// Prolongs the row; does nothing once the owner may no longer act on it.
    pub async fn renew(&self) {
        if !self.is_live() {
            return;
        }
        let asked = Instant::now();
        match self.store.renew(self.owner).await {
            Ok(true) => *self.trust() = Trust::since(asked, TRUST),
            Ok(false) => *self.trust() = Trust::since(asked, Duration::ZERO),
            Err(error) => warn!("the owner of mails could not be renewed: {error}"),
        }
    }

    /// Removes the row and gives back the mails that were taken and not begun.
    pub async fn give_up(&self) {
        if let Err(error) = self.store.release(self.owner).await {
            warn!("mails that were taken wait until their owner's row expires: {error}");
        }
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
