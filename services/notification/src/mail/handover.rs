//! The way of a mail past the queue of due ones: it is entered as taken by the owner of this process, and goes straight to its senders.
//!
//! Only while they have room, so no more mails than before are under way when the process is killed, and only mails that may be sent at once.

use std::{sync::Arc, time::Duration};

use comanda_kit::postgres::StoreError;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{
    context::SenderContext,
    places::{Place, places},
    row::{Claimed, NewMail},
};

/// How long the mails of one batch of records wait for room altogether. A slow mail server must not keep mails out of the ledger.
const PATIENCE: Duration = Duration::from_millis(250);

/// The present owner, if there is one. The lock is held while mails are entered: an owner that has left has every mail of its own in the
/// database or in its queue.
#[derive(Default)]
pub struct Handover(Mutex<Option<Taker>>);

/// An owner that takes mails.
pub struct Taker {
    pub context: Arc<SenderContext>,
    pub owner: Uuid,
    /// Of its senders.
    pub queue: mpsc::Sender<Claimed>,
    /// Ends the owner.
    pub stop: CancellationToken,
}

impl Handover {
    /// An owner begins to take mails.
    pub async fn begin(&self, taker: Taker) {
        *self.0.lock().await = Some(taker);
    }

    /// It takes none any more.
    pub async fn end(&self) {
        if let Some(taker) = self.0.lock().await.take() {
            taker.context.claims().clear();
        }
    }

    /// Enters mails as taken, the first ones first, while there is room; returns the others, which are not entered.
    pub async fn enter<'m>(&self, mut mails: &'m [NewMail]) -> Result<&'m [NewMail], StoreError> {
        let (taker, until) = (self.0.lock().await, Instant::now() + PATIENCE);
        if let Some(taker) = &*taker {
            while let Some(places) = taker.room(mails.len(), until).await {
                let (now, later) = mails.split_at(places.len().min(mails.len()));
                taker.take(now, places).await?;
                mails = later;
            }
        }
        Ok(mails)
    }
}

impl Taker {
    /// Waits until there is room for all, or half of the queue is free, so that mails come in batches.
    async fn room(&self, wanted: usize, until: Instant) -> Option<Vec<Place<'_>>> {
        if wanted == 0 || self.context.pause.is_on() {
            return None;
        }
        let least = wanted.min(self.queue.max_capacity() / 2);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            places = timeout_at(until, places(&self.queue, least, wanted)) => places.ok()?,
        }
    }

    async fn take(&self, mails: &[NewMail], places: Vec<Place<'_>>) -> Result<(), StoreError> {
        let context = &self.context;
        match context.store.enter_taken(mails, self.owner, context.max_age).await {
            Ok(taken) => {
                if taken.len() < mails.len() {
                    // The owner's row has expired, and they are due.
                    context.due.entered();
                }
                context.claims().add(&taken);
                taken.into_iter().zip(places).for_each(|(mail, place)| place.send(mail));
                Ok(())
            }
            Err(error) => {
                // It may have been committed. Those mails belong to this owner without its knowing them: only its end gives them back.
                warn!("no mail could be entered, going on as a new owner: {error}");
                self.stop.cancel();
                Err(error)
            }
        }
    }
}
