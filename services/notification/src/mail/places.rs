//! Places in the queue of an owner's senders. Two tasks fill it: who has a place can put a mail there without waiting.

use tokio::sync::mpsc;

use super::row::Claimed;

/// A place for one mail.
pub type Place<'q> = mpsc::Permit<'q, Claimed>;

/// Waits for `least` places, and takes at most `most` where there are more; `None` where the queue is closed.
pub async fn places(queue: &mpsc::Sender<Claimed>, least: usize, most: usize) -> Option<Vec<Place<'_>>> {
    let mut places: Vec<_> = queue.reserve_many(least).await.ok()?.collect();
    // None where another task waits for these.
    if let Ok(more) = queue.try_reserve_many(queue.capacity().min(most.saturating_sub(least))) {
        places.extend(more);
    }
    Some(places)
}
