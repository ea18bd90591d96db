//! Takes due mails for an owner, in batches, as its senders have room for them.

use std::time::Duration;

use comanda_kit::backoff::{breathe, sleep};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{
    context::SenderContext,
    places::{Place, places},
    row::Claimed,
};

/// Mails that another process has entered are found within this time.
const POLL: Duration = Duration::from_millis(500);
/// The index of due mails is read from its beginning this often; in between from the last mail found, less [`OVERLAP`]: its beginning
/// holds entries that vacuum has not removed yet, and under a long backlog reading them takes most of the time.
const WHOLE: Duration = Duration::from_secs(1);
const OVERLAP: Duration = Duration::from_secs(5);

/// Claims until `stop`, or until the outcome of a claim is unknown. Closes the queue at the end.
pub async fn claim(context: &SenderContext, owner: Uuid, queue: mpsc::Sender<Claimed>, stop: &CancellationToken) {
    let mut window = Window { since: None, whole: Instant::now() };
    while let Some(room) = room(context, &queue, stop).await {
        let (began, most) = (Instant::now(), i64::try_from(room.len()).unwrap_or(i64::MAX));
        match context.store.claim(owner, most, window.since(), context.max_age).await {
            Ok(mails) if mails.is_empty() => {
                drop(room);
                tokio::select! {
                    finished = context.due.wait() => breathe(began, finished, stop).await,
                    () = sleep(POLL, stop) => {}
                }
            }
            Ok(mails) => {
                window.found(&mails);
                context.due.seen();
                mails.into_iter().zip(room).for_each(|(mail, place)| place.send(mail));
            }
            Err(error) => {
                // It may have been committed. Those mails belong to this owner without its knowing them: only the end of the owner gives them back.
                warn!("no mail could be claimed, going on as a new owner: {error}");
                return sleep(WHOLE, stop).await;
            }
        }
    }
}

/// Waits until the transport works and half of the queue is free, so that claims come in batches; `None` when told to stop.
async fn room<'q>(
    context: &SenderContext,
    queue: &'q mpsc::Sender<Claimed>,
    stop: &CancellationToken,
) -> Option<Vec<Place<'q>>> {
    context.pause.over(stop).await;
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        room = places(queue, queue.max_capacity() / 2, queue.max_capacity()) => room,
    }
}

/// From where the index of due mails is read.
struct Window {
    since: Option<OffsetDateTime>,
    whole: Instant,
}

impl Window {
    fn since(&mut self) -> Option<OffsetDateTime> {
        if self.whole.elapsed() >= WHOLE {
            (self.since, self.whole) = (None, Instant::now());
        }
        self.since
    }

    fn found(&mut self, mails: &[Claimed]) {
        let last = mails.iter().map(|mail| mail.next_try_time).max();
        self.since = last.map(|last| last - OVERLAP).max(self.since);
    }
}
