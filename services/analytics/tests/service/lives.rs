//! Orders with a past, written where the other services would have written it, and the records that tell of it.

use std::collections::BTreeMap;

use anyhow::Result;
use comanda_proto::{
    events::{AssignmentEvent, AssignmentEventType, OrderTransition},
    topics, transition_columns,
    v1::{Phase, Trigger},
    views::{TransitionRow, timestamp},
};
use prost::Message;
use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

use crate::fixture::Fixture;

/// When the first order of a past is created.
pub const BEGINNING: OffsetDateTime = datetime!(2026-01-30 21:17:03.000123 UTC);

/// Numbers that look random and are the same each time.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index as u64 + 1) as usize);
        }
    }
}

/// A record of a topic: key and payload.
pub type Record = (String, Vec<u8>);

/// What happened to orders.
#[derive(Default)]
pub struct Past {
    pub order_ids: Vec<Uuid>,
    pub assignments: Vec<AssignmentEvent>,
}

/// The ways of an order, each with the phase of its statuses.
const WAYS: [&[(&str, Phase)]; 4] = [
    &[
        ("received", Phase::Active),
        ("preparing", Phase::Active),
        ("dispatched", Phase::Active),
        ("delivered", Phase::Succeeded),
    ],
    &[("received", Phase::Active), ("preparing", Phase::Active)],
    &[("received", Phase::Active), ("cancelled", Phase::Cancelled)],
    &[
        ("received", Phase::Active),
        ("preparing", Phase::Active),
        ("received", Phase::Active),
        ("rejected", Phase::Rejected),
    ],
];

impl Fixture {
    /// Orders of a tenant with a past of some days, and couriers that had them.
    pub async fn live(&self, tenant: &str, count: usize, seed: u64) -> Result<Past> {
        let mut chance = Chance::new(seed);
        let mut past = Past::default();
        for _ in 0..count {
            let order_id = Uuid::now_v7();
            let workflow = ["delivery", "ride"][chance.below(2) as usize];
            let create_time = BEGINNING + Duration::microseconds(chance.below(4 * 86_400_000_000) as i64);
            self.place(order_id, tenant, workflow, create_time, &mut chance).await?;
            self.walk(order_id, tenant, create_time, &mut chance).await?;
            let assigned = assigned(order_id, tenant, workflow, create_time, &mut chance);
            self.note(&assigned).await?;
            past.order_ids.push(order_id);
            past.assignments.extend(assigned);
        }
        Ok(past)
    }

    async fn place(
        &self,
        order_id: Uuid,
        tenant: &str,
        workflow: &str,
        time: OffsetDateTime,
        chance: &mut Chance,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                          total_units, total_nanos, item_count, workflow, workflow_revision, first_status, create_time)
             VALUES ($1, $2, 1, 'c-1', '', '', '', '', $3, $4, $5, $6, $7, 1, 'received', $8)",
        )
        .bind(order_id)
        .bind(tenant)
        .bind(["UYU", "USD"][chance.below(2) as usize])
        .bind(chance.below(5000) as i64)
        .bind(chance.below(1_000_000_000) as i32)
        .bind(1 + chance.below(5) as i32)
        .bind(workflow)
        .bind(time)
        .execute(&self.sql)
        .await?;
        Ok(())
    }

    async fn walk(&self, order_id: Uuid, tenant: &str, create_time: OffsetDateTime, chance: &mut Chance) -> Result<()> {
        let (mut time, mut from): (_, Option<(&str, OffsetDateTime)>) = (create_time, None);
        for (index, (status, phase)) in WAYS[chance.below(4) as usize].iter().enumerate() {
            let trigger = if index == 0 { Trigger::Create } else { Trigger::Advance };
            sqlx::query(
                "INSERT INTO state_machine.transitions
                     (order_id, version, tenant, from_status, from_time, to_status, phase, transition_time, trigger, actor, reason)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'system:timer', '')",
            )
            .bind(order_id)
            .bind(index as i64 + 1)
            .bind(tenant)
            .bind(from.map_or("", |from| from.0))
            .bind(from.map(|from| from.1))
            .bind(status)
            .bind(*phase as i16)
            .bind(time)
            .bind(trigger as i16)
            .execute(&self.sql)
            .await?;
            from = Some((*status, time));
            time += Duration::microseconds(chance.below(7_200_000_000) as i64);
        }
        Ok(())
    }

    async fn note(&self, events: &[AssignmentEvent]) -> Result<()> {
        for event in events {
            let stored = AssignmentEvent {
                order_id: String::new(),
                version: 0,
                tenant: String::new(),
                event_time: None,
                ..event.clone()
            };
            let time = comanda_proto::views::offset_date_time(event.event_time.as_ref().expect("set")).expect("a time");
            sqlx::query("INSERT INTO dispatch.events (order_id, version, tenant, event_time, content) VALUES ($1, $2, $3, $4, $5)")
                .bind(Uuid::try_parse(&event.order_id)?)
                .bind(event.version)
                .bind(&event.tenant)
                .bind(time)
                .bind(stored.encode_to_vec())
                .execute(&self.sql)
                .await?;
        }
        Ok(())
    }

    /// The records of every transition of these orders, one order after the other.
    pub async fn transitions(&self, order_ids: &[Uuid]) -> Result<Vec<Record>> {
        let rows: Vec<TransitionRow> = sqlx::query_as(concat!(
            "SELECT ",
            transition_columns!(),
            " FROM state_machine.order_history h WHERE h.order_id = ANY ($1) ORDER BY h.order_id, h.version"
        ))
        .bind(order_ids)
        .fetch_all(&self.sql)
        .await?;
        Ok(rows.into_iter().map(|row| (row.order_id.to_string(), OrderTransition::from(row).encode_to_vec())).collect())
    }

    /// Publishes everything that happened.
    pub async fn publish(&self, past: &Past) -> Result<()> {
        self.environment.produce(topics::ORDER_TRANSITIONS, &self.transitions(&past.order_ids).await?).await?;
        self.environment.produce(topics::ASSIGNMENTS, &records(&past.assignments)).await
    }

    /// A new log in the place of a topic's, and an epoch that says so.
    pub async fn lose_log(&self, topic: &str) -> Result<()> {
        self.environment.delete_topic(topic).await?;
        self.environment.create_topic(topic).await?;
        let statement = match topic {
            topics::ASSIGNMENTS => "UPDATE dispatch.topic_log SET topic_epoch = topic_epoch + 1",
            _ => "UPDATE state_machine.topic_log SET topic_epoch = topic_epoch + 1",
        };
        sqlx::query(statement).execute(&self.sql).await?;
        Ok(())
    }
}

/// The records of these events.
pub fn records(events: &[AssignmentEvent]) -> Vec<Record> {
    events.iter().map(|event| (event.order_id.clone(), event.encode_to_vec())).collect()
}

/// Offered, perhaps declined, allotted, picked up, done.
fn assigned(
    order_id: Uuid,
    tenant: &str,
    workflow: &str,
    create_time: OffsetDateTime,
    chance: &mut Chance,
) -> Vec<AssignmentEvent> {
    use AssignmentEventType::{Allotted, Completed, Declined, Delayed, Expired, GivenUp, Offered, PickedUp, Released};
    let way: &[AssignmentEventType] = match chance.below(6) {
        0 => &[],
        1 => &[Offered, Declined, Offered, Allotted, PickedUp, Completed],
        2 => &[Offered, Expired, GivenUp],
        3 => &[Offered, Released],
        4 => &[Allotted, Released],
        _ => &[Allotted, Delayed, PickedUp, Completed],
    };
    let (mut time, mut allotted, mut picked_up) = (create_time, None, None);
    let events = way.iter().enumerate().map(|(index, kind)| {
        time += Duration::microseconds(chance.below(1_500_000_000) as i64);
        let allot_time = allotted.filter(|_| matches!(kind, PickedUp | Completed | Released));
        match kind {
            Allotted => allotted = Some(time),
            PickedUp => picked_up = Some(time),
            _ => {}
        }
        AssignmentEvent {
            order_id: order_id.to_string(),
            version: index as i64 + 1,
            tenant: tenant.into(),
            r#type: (*kind).into(),
            event_time: Some(timestamp(time)),
            attempt: 1,
            courier_id: if *kind == GivenUp { String::new() } else { format!("courier-{}", chance.below(4)) },
            workflow: workflow.into(),
            promised_pickup_time: Some(timestamp(create_time + Duration::minutes(20))),
            idle_duration: (*kind == Allotted).then(|| prost_types::Duration {
                seconds: chance.below(900) as i64,
                nanos: chance.below(1_000_000) as i32 * 1000,
            }),
            allot_time: allot_time.map(timestamp),
            pickup_time: picked_up.filter(|_| matches!(kind, PickedUp | Completed)).map(timestamp),
            ..AssignmentEvent::default()
        }
    });
    events.collect()
}

/// Records in another order, which keeps the order of each key.
pub fn interleaved(records: Vec<Record>, chance: &mut Chance) -> Vec<Record> {
    let mut keys: Vec<String> = records.iter().map(|(key, _)| key.clone()).collect();
    chance.shuffle(&mut keys);
    let mut by_key: BTreeMap<String, std::vec::IntoIter<Record>> = BTreeMap::new();
    for key in &keys {
        let of_key: Vec<_> = records.iter().filter(|(other, _)| other == key).cloned().collect();
        by_key.entry(key.clone()).or_insert_with(|| of_key.into_iter());
    }
    keys.iter().filter_map(|key| by_key.get_mut(key)?.next()).collect()
}
