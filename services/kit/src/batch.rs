//! Natural micro-batching: one write takes whatever has queued up while the last one ran. At low load a batch is one and waits
//! for nothing; under load it grows by itself. There is no timer.

use std::{future::Future, sync::Arc};

use metrics::{counter, histogram};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{postgres::StoreError, shutdown::Tasks};

/// How a [`Batcher`] works.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many items may wait. When as many do, further ones are refused at once.
    pub queue: usize,
    /// How many items one write takes at most.
    pub batch: usize,
    /// How many writes run at once, so that one fills while another flushes.
    pub writers: usize,
}

/// Why an item was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// The queue is full; nothing was done.
    #[error("the queue is full")]
    Full,
    /// The writer has stopped; whether the item was written is unknown.
    #[error("the writer has stopped")]
    Stopped,
}

type Queued<T, R> = (T, oneshot::Sender<R>);

/// A handle to the queue. Clones share it.
#[derive(Debug)]
pub struct Batcher<T, R> {
    queue: mpsc::Sender<Queued<T, R>>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the writers. `write` answers each item of its batch, in order. They end once every handle is dropped and the queue is
    /// empty, so that accepted items are also written when the process stops.
    ///
    /// An item whose receiver was dropped before its batch began is not written: its caller has gone, and under overload such writes would
    /// keep callers who still wait from theirs. Once a batch has begun, all of it is written.
    pub fn start<F>(
        tasks: &Tasks,
        name: &'static str,
        limits: Limits,
        write: impl Fn(Vec<T>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<R>> + Send,
    {
        let (queue, items) = mpsc::channel(limits.queue);
        let (items, write) = (Arc::new(Mutex::new(items)), Arc::new(write));
        for _ in 0..limits.writers {
            let (items, write) = (items.clone(), write.clone());
            tasks.spawn(name, async move {
                while let Some(batch) = take(&items, limits.batch).await {
                    let batch = awaited(batch, name);
                    if batch.is_empty() {
                        continue;
                    }
                    histogram!("comanda_batch_size", "batch" => name).record(batch.len() as f64);
                    let (items, waiting): (Vec<T>, Vec<oneshot::Sender<R>>) = batch.into_iter().unzip();
                    for (result, waiting) in write(items).await.into_iter().zip(waiting) {
                        // Fails only where the receiver was dropped: the caller has gone.
                        let _ = waiting.send(result);
                    }
                }
                Ok(())
            });
        }
        Self { queue }
    }

    /// Writes one item with the next batch.
    pub async fn write(&self, item: T) -> Result<R, NotWritten> {
        self.enqueue(item)?.await.map_err(|_| NotWritten::Stopped)
    }

    /// Queues one item; the result comes through the receiver.
    pub fn enqueue(&self, item: T) -> Result<oneshot::Receiver<R>, NotWritten> {
        let (result, waiting) = oneshot::channel();
        self.queue.try_send((item, result)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotWritten::Full,
            mpsc::error::TrySendError::Closed(_) => NotWritten::Stopped,
        })?;
        Ok(waiting)
    }

    /// How many more items the queue can hold now.
    pub fn room(&self) -> usize {
        self.queue.capacity()
    }
}

async fn take<T>(items: &Mutex<mpsc::Receiver<T>>, most: usize) -> Option<Vec<T>> {
    let mut batch = Vec::new();
    let count = items.lock().await.recv_many(&mut batch, most).await;
    (count > 0).then_some(batch)
}

/// Writes a batch; one that the database refuses is halved until what is refused stands alone: it must not fail the others. Returns the
/// parts with what became of each. A part that failed for another reason is not tried again, since a retry may help the caller.
pub async fn halved<'b, T, R, F>(batch: &'b [T], write: impl Fn(&'b [T]) -> F) -> Vec<(&'b [T], Result<R, StoreError>)>
where
    F: Future<Output = Result<R, StoreError>>,
{
    let (mut waiting, mut written) = (Vec::new(), Vec::new());
    waiting.extend(Some(batch).filter(|batch| !batch.is_empty()));
    while let Some(part) = waiting.pop() {
        match write(part).await {
            Err(error) if part.len() > 1 && !error.is_transient() => {
                let (first, second) = part.split_at(part.len() / 2);
                waiting.extend([second, first]);
            }
            result => written.push((part, result)),
        }
    }
    written
}

/// The items that someone still waits for.
fn awaited<T, R>(mut batch: Vec<Queued<T, R>>, name: &'static str) -> Vec<Queued<T, R>> {
    let all = batch.len();
    batch.retain(|(_, waiting)| !waiting.is_closed());
    counter!("comanda_batch_abandoned_total", "batch" => name).increment((all - batch.len()) as u64);
    batch
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_queued_during_a_write_goes_out_together_and_a_full_queue_refuses() {
        let (gate, tasks) = (Arc::new(Semaphore::new(0)), Tasks::new());
        let limits = Limits { queue: 3, batch: 10, writers: 1 };
        let held = gate.clone();
        let batcher = Batcher::start(&tasks, "test", limits, move |items: Vec<u32>| {
            let gate = held.clone();
            async move {
                gate.acquire().await.expect("never closed").forget();
                items.iter().map(|item| (*item, items.len())).collect()
            }
        });
        let first = batcher.enqueue(0).expect("room");
        while batcher.room() < 3 {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (1..=3).map(|item| batcher.enqueue(item).expect("room")).collect();
        assert_eq!(batcher.enqueue(4).expect_err("full"), NotWritten::Full);
        gate.add_permits(2);
        assert_eq!(first.await, Ok((0, 1)));
        for (item, result) in (1..=3).zip(rest) {
            assert_eq!(result.await, Ok((item, 3)));
        }
    }

    #[tokio::test]
    async fn of_a_batch_only_what_the_database_refuses_is_not_written() {
        let (batch, calls): (Vec<u32>, _) = ((0..256).collect(), AtomicUsize::new(0));
        let parts = halved(&batch, async |part: &[u32]| {
            calls.fetch_add(1, Ordering::Relaxed);
            match part.contains(&77) {
                true => Err(StoreError::Unreadable("77".into())),
                false => Ok(part.len()),
            }
        });
        let parts = parts.await;
        let refused: Vec<_> = parts.iter().filter(|(_, written)| written.is_err()).map(|(part, _)| *part).collect();
        assert_eq!(refused, [&[77]]);
        assert_eq!(parts.iter().flat_map(|(part, _)| part.iter().copied()).collect::<Vec<_>>(), batch);
        assert!(calls.into_inner() < 20, "eight halvings are enough");
    }

    #[tokio::test]
    async fn a_batch_that_a_retry_may_help_is_not_halved_and_none_is_written_for_nothing() {
        let busy = async |_: &[u32]| Err::<(), _>(StoreError::Busy);
        let parts = halved(&[1, 2, 3], busy).await;
        assert!(matches!(parts[..], [([1, 2, 3], Err(StoreError::Busy))]), "{parts:?}");
        assert!(halved(&[], busy).await.is_empty());
    }

    #[tokio::test]
    async fn an_item_is_written_unless_its_caller_left_before_its_batch_began() {
        let (gate, tasks) = (Arc::new(Semaphore::new(0)), Tasks::new());
        let limits = Limits { queue: 8, batch: 10, writers: 1 };
        let (held, written) = (gate.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let seen = written.clone();
        let batcher = Batcher::start(&tasks, "test", limits, move |items: Vec<u32>| {
            let (gate, seen) = (held.clone(), seen.clone());
            async move {
                seen.lock().expect("no holder panics").push(items.clone());
                gate.acquire().await.expect("never closed").forget();
                items
            }
        });
        let begun = batcher.enqueue(0).expect("room");
        while written.lock().expect("no holder panics").is_empty() {
            tokio::task::yield_now().await;
        }
        // Too late: the batch has begun.
        drop(begun);
        let receivers: Vec<_> = (1..=4).map(|item| batcher.enqueue(item).expect("room")).collect();
        let stays: Vec<_> = receivers.into_iter().enumerate().filter(|(n, _)| n % 2 == 1).map(|(_, it)| it).collect();
        gate.add_permits(2);
        for (receiver, item) in stays.into_iter().zip([2, 4]) {
            assert_eq!(receiver.await, Ok(item));
        }
        assert_eq!(*written.lock().expect("no holder panics"), [vec![0], vec![2, 4]]);
        // A batch that nobody waits for is none at all.
        drop(batcher.enqueue(5));
        let last = batcher.write(6);
        gate.add_permits(1);
        assert_eq!(last.await, Ok(6));
        assert_eq!(written.lock().expect("no holder panics").len(), 3);
    }
}
