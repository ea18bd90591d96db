//! Counts events into a generation, within a transaction.

use comanda_kit::postgres::StoreError;
use uuid::Uuid;

use crate::{
    event::{Event, Topic},
    fold::fold,
    gates::{Gap, select},
    store::{Store, Unit},
};

/// Counts what is not counted yet. What is missing before an event, and what `unreadable` records stood for, is read from the history; without
/// `history` the events are the history.
pub async fn count(
    unit: &mut Unit,
    generation: i32,
    topic: Topic,
    (events, unreadable): (&[Event], &[Uuid]),
    history: Option<&Store>,
) -> Result<(), StoreError> {
    let mut order_ids: Vec<_> = events.iter().map(|event| event.order_id).chain(unreadable.iter().copied()).collect();
    order_ids.sort_unstable();
    order_ids.dedup();
    let gates = unit.gates(generation, topic, &order_ids).await?;
    let selection = select(events, unreadable.iter().copied(), gates);
    let lost = match history {
        Some(history) => read_lost(history, topic, &selection.gaps).await?,
        None => Vec::new(),
    };
    unit.add(generation, topic, fold(selection.events.into_iter().chain(&lost))).await
}

/// An order that nobody knows is no order.
async fn read_lost(history: &Store, topic: Topic, gaps: &[Gap]) -> Result<Vec<Event>, StoreError> {
    let lost = history.lost(topic, gaps).await?;
    let is_unknown = |gap: &&Gap| {
        (gap.after, gap.before) == (0, i64::MAX) && !lost.iter().any(|event| event.order_id == gap.order_id)
    };
    match gaps.iter().find(is_unknown) {
        Some(gap) => {
            Err(StoreError::Unreadable(format!("undecodable record, and the history has no {}", gap.order_id)))
        }
        None => Ok(lost),
    }
}
