//! Counts batches of records of one log, each in a transaction with the offsets behind it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use comanda_kit::{consumer::narrow::Sink, dead_letters, kafka::Record, planted, postgres::StoreError};
use metrics::counter;
use tracing::warn;
use uuid::Uuid;

use crate::{
    count::count,
    event::{Event, Topic},
    store::{Place, Store, Unit},
};

/// Counts the records of a log for as long as this replica leads.
#[derive(Debug)]
pub struct Folder {
    store: Store,
    topic: Topic,
    topic_epoch: i64,
    lease_epoch: i64,
    /// Another replica leads, or another log is read.
    is_over: AtomicBool,
}

/// What a batch holds.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<Event>,
    /// Orders with a record that cannot be read.
    unreadable: Vec<Uuid>,
    places: BTreeMap<i32, Place>,
}

impl Folder {
    /// Counts the log of this epoch of a topic, under the lease of this epoch.
    pub fn new(store: Store, topic: Topic, topic_epoch: i64, lease_epoch: i64) -> Self {
        Self { store, topic, topic_epoch, lease_epoch, is_over: AtomicBool::new(false) }
    }

    /// Whether nothing can be counted by this one any more.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    async fn count(&self, batch: &Batch) -> Result<(), StoreError> {
        if planted!("analytics-offset-before-effect") {
            self.finish(self.store.begin().await?, &batch.places).await?;
        }
        let mut unit = self.store.begin().await?;
        for generation in unit.generations.clone() {
            let events = (&*batch.events, &*batch.unreadable);
            count(&mut unit, generation, self.topic, events, Some(&self.store)).await?;
        }
        self.finish(unit, &batch.places).await?;
        counter!("comanda_analytics_records_total", "topic" => self.topic.name()).increment(batch.events.len() as u64);
        Ok(())
    }

    async fn finish(&self, unit: Unit, places: &BTreeMap<i32, Place>) -> Result<(), StoreError> {
        if unit.commit_as_leader(self.lease_epoch, self.topic, self.topic_epoch, places).await? {
            return Ok(());
        }
        self.is_over.store(true, Relaxed);
        Err(StoreError::Undone("another replica leads, or the topic has another log".into()))
    }
}

#[async_trait]
impl Sink for Folder {
    async fn apply(&self, records: &[Record]) -> Result<(), StoreError> {
        self.count(&read(self.topic, records)?).await
    }

    async fn store_dead_letter(&self, record: &Record, reason: &str) -> Result<(), StoreError> {
        dead_letters::store(self.store.numbers(), self.topic_epoch, record, reason).await?;
        let places = BTreeMap::from([(record.partition, Place { next_offset: record.offset + 1, event_time: None })]);
        self.count(&Batch { places, ..Batch::default() }).await
    }
}

fn read(topic: Topic, records: &[Record]) -> Result<Batch, StoreError> {
    let mut batch = Batch { events: Vec::with_capacity(records.len()), ..Batch::default() };
    for record in records {
        let event = Event::decode(topic, record);
        let event_time = event.as_ref().map(|event| event.time);
        let place = batch.places.entry(record.partition).or_insert(Place { next_offset: 0, event_time });
        *place = Place { next_offset: record.offset + 1, event_time: place.event_time.max(event_time) };
        match event {
            Some(event) => batch.events.push(event),
            None => batch.unreadable.push(order_of(record)?),
        }
    }
    Ok(batch)
}

fn order_of(record: &Record) -> Result<Uuid, StoreError> {
    warn!(record.topic, record.partition, record.offset, "undecodable record: reading the history of its key");
    let unreadable = || StoreError::Unreadable("undecodable record, and its key is no order id".into());
    record.order_id().ok_or_else(unreadable)
}
