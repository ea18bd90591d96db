//! Which records are left alone for now, so that those that cannot be published do not keep the others waiting.
//!
//! In: records that were sent and not acked yet, and records that failed. Out: whether a key may be sent. A key with a record under way
//! is never sent again before that record is acked or failed, so the versions of an order stay in order.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::{FutureExt, channel::oneshot::Canceled};
use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, future_producer::OwnedDeliveryResult},
    types::RDKafkaErrorCode,
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    log::{Ack, Failure, Log, delivered},
    rows::Place,
};

/// For how long a partition or a key that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// Records that are sent and not acked, at most: beyond it nothing is sent.
const MOST_UNACKED: usize = 10_000;
/// Keys that failed by themselves, at most: beyond it they are tried again at once.
const MOST_KEYS: usize = 10_000;

/// What Kafka will answer about a record; an error if the producer was dropped before.
pub trait Delivery: Future<Output = Result<OwnedDeliveryResult, Canceled>> + Unpin {}
impl<F: Future<Output = Result<OwnedDeliveryResult, Canceled>> + Unpin> Delivery for F {}

/// Keys and partitions that are left alone.
pub struct SetAside<D = DeliveryFuture> {
    unacked: Vec<(Place, D)>,
    /// Keys and partitions of the unacked records.
    busy_keys: HashSet<Uuid>,
    busy_partitions: HashSet<i32>,
    failed_keys: HashMap<Uuid, Instant>,
    failed_partitions: HashMap<i32, Instant>,
}

impl<D> Default for SetAside<D> {
    fn default() -> Self {
        Self {
            unacked: Vec::new(),
            busy_keys: HashSet::new(),
            busy_partitions: HashSet::new(),
            failed_keys: HashMap::new(),
            failed_partitions: HashMap::new(),
        }
    }
}

impl<D: Delivery> SetAside<D> {
    /// Whether anything is set aside.
    pub fn is_empty(&self) -> bool {
        self.busy_keys.is_empty() && self.failed_keys.is_empty() && self.failed_partitions.is_empty()
    }

    /// Whether nothing at all can be sent now.
    pub fn is_everything(&self, log: &Log) -> bool {
        let closed: HashSet<_> = self.busy_partitions.iter().chain(self.failed_partitions.keys()).collect();
        let is_closed = log.partitions().is_some_and(|count| closed.len() >= count as usize);
        is_closed || self.unacked.len() >= MOST_UNACKED
    }

    /// Whether a key is left alone.
    pub fn holds(&self, key: &Uuid, log: &Log) -> bool {
        self.busy_keys.contains(key)
            || self.failed_keys.contains_key(key)
            || log.partition_of(key).is_some_and(|partition| self.closes(partition))
    }

    /// Whether every key of a partition is left alone.
    pub fn closes(&self, partition: i32) -> bool {
        self.busy_partitions.contains(&partition) || self.failed_partitions.contains_key(&partition)
    }

    /// Keeps a record that was sent.
    pub fn keep(&mut self, place: Place, delivery: D, log: &Log) {
        self.busy_keys.insert(place.pointer.key);
        self.busy_partitions.extend(log.partition_of(&place.pointer.key));
        self.unacked.push((place, delivery));
    }

    /// How many records are kept.
    pub fn unacked(&self) -> usize {
        self.unacked.len()
    }

    /// The kept records that were acked or have failed, in the order in which they were sent. The first `old` ones are asked once, the
    /// others are awaited until `until`. Of one partition no record is taken before an earlier one: acks come in while this looks, and an
    /// earlier ack that is taken later would look like the first one of a new log.
    pub async fn take_finished(&mut self, old: usize, until: Instant, log: &Log) -> Vec<(Place, Ack)> {
        let (mut finished, mut waiting) = (Vec::new(), HashSet::new());
        let unacked = std::mem::take(&mut self.unacked);
        self.forget_unacked();
        for (number, (place, mut delivery)) in unacked.into_iter().enumerate() {
            // While the number of partitions is unknown, all records count as those of one.
            let partition = log.partition_of(&place.pointer.key);
            let result = match waiting.contains(&partition) {
                true => None,
                false if number < old => (&mut delivery).now_or_never(),
                false => timeout_at(until, &mut delivery).await.ok(),
            };
            match result {
                Some(result) => finished.push((place, delivered(result))),
                None => {
                    waiting.insert(partition);
                    self.keep(place, delivery, log);
                }
            }
        }
        finished
    }

    /// Forgets the kept records: they will be sent again.
    pub fn forget_unacked(&mut self) {
        self.unacked.clear();
        self.busy_keys.clear();
        self.busy_partitions.clear();
    }

    /// Leaves alone what failed: the whole partition where it cannot be written, else only the key.
    pub fn fail(&mut self, key: Uuid, failure: &Failure) {
        let until = Instant::now() + PAUSE;
        match failure.partition {
            Some(partition) if is_of_the_partition(&failure.error) => {
                self.failed_partitions.insert(partition, until);
            }
            _ if is_ours(&failure.error) || self.failed_keys.len() >= MOST_KEYS => {}
            _ => {
                self.failed_keys.insert(key, until);
            }
        }
    }

    /// Lets go what was left alone for long enough.
    pub fn expire(&mut self) {
        let now = Instant::now();
        self.failed_keys.retain(|_, until| *until > now);
        self.failed_partitions.retain(|_, until| *until > now);
    }
}

/// Whether the partition cannot be written, rather than this record.
fn is_of_the_partition(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, KafkaStorageError, LeaderNotAvailable,
        MessageTimedOut, NotEnoughReplicas, NotEnoughReplicasAfterAppend, NotLeaderForPartition, OperationTimedOut,
        ReplicaNotAvailable, RequestTimedOut, UnknownPartition,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            AllBrokersDown
                | BrokerNotAvailable
                | BrokerTransportFailure
                | KafkaStorageError
                | LeaderNotAvailable
                | MessageTimedOut
                | NotEnoughReplicas
                | NotEnoughReplicasAfterAppend
                | NotLeaderForPartition
                | OperationTimedOut
                | ReplicaNotAvailable
                | RequestTimedOut
                | UnknownPartition
        )
    )
}

/// Whether neither the record nor the partition is at fault: our own queue is full, or the producer was replaced.
fn is_ours(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Canceled)
        || matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::Fatal | RDKafkaErrorCode::PurgeQueue)
        )
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use rdkafka::producer::future_producer::Delivery as Stored;

    use super::*;
    use crate::relay::{outbox::Pointer, unreachable::unreachable_log};

    /// Kafka's answer about the record at an offset of partition 0, after it was asked for so often in vain.
    fn answer(offset: i64, mut pending: u32) -> impl Delivery {
        poll_fn(move |_| {
            if pending > 0 {
                pending -= 1;
                return Poll::Pending;
            }
            Poll::Ready(Ok(Ok(Stored { partition: 0, offset, timestamp: rdkafka::Timestamp::NotAvailable })))
        })
    }

    fn offsets(finished: Vec<(Place, Ack)>) -> Vec<i64> {
        finished.into_iter().map(|(_, ack)| ack.expect("acked").1).collect()
    }

    /// Acks come in while the records are looked at: the first is asked for a moment too early, the second just in time.
    #[tokio::test]
    async fn records_of_a_partition_are_finished_in_the_order_in_which_they_were_sent() {
        let log = unreachable_log();
        let mut set_aside = SetAside::default();
        for (offset, pending) in [(7, 1), (8, 0)] {
            let pointer = Pointer { key: Uuid::now_v7(), version: 1 };
            set_aside.keep(Place { seq: offset, row_len: 1, pointer }, answer(offset, pending), &log);
        }
        let now = Instant::now();
        assert!(set_aside.take_finished(2, now, &log).await.is_empty());
        assert_eq!(offsets(set_aside.take_finished(2, now, &log).await), [7, 8]);
        assert!(set_aside.is_empty());
    }
}
