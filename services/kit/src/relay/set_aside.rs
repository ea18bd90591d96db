//! Which records are left alone for now, so that those that cannot be published do not keep the others waiting.
//!
//! In: records that were sent and not acked yet, and records that failed. Out: whether a key may be sent. A key with a record under way
//! is never sent again before that record is acked or failed, so the versions of an order stay in order.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::FutureExt;
use rdkafka::{error::KafkaError, producer::DeliveryFuture, types::RDKafkaErrorCode};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    log::{Ack, Failure, Log, delivered},
    outbox::Pointer,
};

/// For how long a partition or a key that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// Records that are sent and not acked, at most: beyond it nothing is sent.
const MOST_UNACKED: usize = 10_000;
/// Keys that failed by themselves, at most: beyond it they are tried again at once.
const MOST_KEYS: usize = 10_000;

/// Keys and partitions that are left alone.
#[derive(Default)]
pub struct SetAside {
    unacked: Vec<(Pointer, DeliveryFuture)>,
    /// Keys and partitions of the unacked records.
    busy_keys: HashSet<Uuid>,
    busy_partitions: HashSet<i32>,
    failed_keys: HashMap<Uuid, Instant>,
    failed_partitions: HashMap<i32, Instant>,
}

impl SetAside {
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
        let is_closed =
            |partition| self.busy_partitions.contains(&partition) || self.failed_partitions.contains_key(&partition);
        self.busy_keys.contains(key)
            || self.failed_keys.contains_key(key)
            || log.partition_of(key).is_some_and(is_closed)
    }

    /// Keeps a record whose ack takes long.
    pub fn keep(&mut self, pointer: Pointer, delivery: DeliveryFuture, log: &Log) {
        self.busy_keys.insert(pointer.key);
        self.busy_partitions.extend(log.partition_of(&pointer.key));
        self.unacked.push((pointer, delivery));
    }

    /// The kept records that were acked or have failed by now.
    pub fn take_finished(&mut self, log: &Log) -> Vec<(Pointer, Ack)> {
        let (mut finished, unacked) = (Vec::new(), std::mem::take(&mut self.unacked));
        self.forget_unacked();
        for (pointer, mut delivery) in unacked {
            match (&mut delivery).now_or_never() {
                Some(result) => finished.push((pointer, delivered(result))),
                None => self.keep(pointer, delivery, log),
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
