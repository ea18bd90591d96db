//! Natural micro-batching: one write takes whatever has queued up while the last one ran. At low load a batch is one and waits
//! for nothing; under load it grows by itself. There is no timer.

use std::{future::Future, sync::Arc};

use metrics::histogram;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::shutdown::Tasks;

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

/// The entrance of the queue.
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
    /// Starts the writers. `write` answers each item of its batch, in order. They end once every entrance is gone and the queue is
    /// empty, so that what was let in is also written when the process stops.
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
                    histogram!("comanda_batch_size", "batch" => name).record(batch.len() as f64);
                    let (items, waiting): (Vec<T>, Vec<oneshot::Sender<R>>) = batch.into_iter().unzip();
                    for (result, waiting) in write(items).await.into_iter().zip(waiting) {
                        // Fails only where nobody waits any more: the client hung up.
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

    /// Lets one item in; the result comes through the receiver.
    pub fn enqueue(&self, item: T) -> Result<oneshot::Receiver<R>, NotWritten> {
        let (result, waiting) = oneshot::channel();
        self.queue.try_send((item, result)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotWritten::Full,
            mpsc::error::TrySendError::Closed(_) => NotWritten::Stopped,
        })?;
        Ok(waiting)
    }

    /// How many more items the queue would take now.
    pub fn room(&self) -> usize {
        self.queue.capacity()
    }
}

async fn take<T>(items: &Mutex<mpsc::Receiver<T>>, most: usize) -> Option<Vec<T>> {
    let mut batch = Vec::new();
    let count = items.lock().await.recv_many(&mut batch, most).await;
    (count > 0).then_some(batch)
}

#[cfg(test)]
mod tests {
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
}
