//! What happened, as the views of the other services tell it.

use comanda_kit::postgres::{StoreError, bounded};
use comanda_proto::{
    Money,
    events::{AssignmentEvent, OrderTransition},
    views::timestamp,
};
use prost::Message;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::{
    event::{Event, Topic},
    gates::Gap,
};

/// How many gaps are read with one statement.
const GAPS: usize = 500;

/// Orders that follow each other by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// After this order ..
    pub after: Uuid,
    /// .. up to this one ..
    pub last: Uuid,
    /// .. and so many.
    pub orders: i64,
}

/// What is counted of `state_machine.order_history`.
#[derive(FromRow)]
struct MoveRow {
    order_id: Uuid,
    version: i64,
    tenant: String,
    workflow: String,
    from_status: String,
    from_time: Option<OffsetDateTime>,
    to_status: String,
    phase: i16,
    transition_time: OffsetDateTime,
    trigger: i16,
    currency: String,
    total_units: i64,
    total_nanos: i32,
    item_count: i32,
}

/// A row of `dispatch.assignment_history`.
#[derive(FromRow)]
struct AssignmentRow {
    order_id: Uuid,
    version: i64,
    tenant: String,
    event_time: OffsetDateTime,
    content: Vec<u8>,
}

/// The columns of a [`MoveRow`].
macro_rules! move_columns {
    () => {
        "h.order_id, h.version, h.tenant, h.workflow, h.from_status, h.from_time, h.to_status, h.phase, h.transition_time, h.trigger, \
         h.currency, h.total_units, h.total_nanos, h.item_count"
    };
}

impl Store {
    /// The versions in these gaps that the history has.
    pub async fn lost(&self, topic: Topic, gaps: &[Gap]) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        for gaps in gaps.chunks(GAPS) {
            match topic {
                Topic::Transitions => events.extend(self.lost_moves(gaps).await?),
                Topic::Assignments => events.extend(self.lost_assignments(gaps).await?),
            }
        }
        Ok(events)
    }

    async fn lost_moves(&self, gaps: &[Gap]) -> Result<Vec<Event>, StoreError> {
        let (order_ids, after, before) = columns(gaps);
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            move_columns!(),
            " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS k (order_id, after, before)
             CROSS JOIN LATERAL (
                 SELECT ",
            move_columns!(),
            "    FROM state_machine.order_history h
                 WHERE h.order_id = k.order_id AND h.version > k.after AND h.version < k.before
                 OFFSET 0
             ) h",
        ));
        let rows: Vec<MoveRow> =
            bounded(statement.bind(order_ids).bind(after).bind(before).fetch_all(&self.source)).await?;
        rows.into_iter().map(moved).collect()
    }

    async fn lost_assignments(&self, gaps: &[Gap]) -> Result<Vec<Event>, StoreError> {
        let (order_ids, after, before) = columns(gaps);
        let statement = sqlx::query_as(
            "SELECT h.order_id, h.version, h.tenant, h.event_time, h.content
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS k (order_id, after, before)
             CROSS JOIN LATERAL (
                 SELECT h.order_id, h.version, h.tenant, h.event_time, h.content FROM dispatch.assignment_history h
                 WHERE h.order_id = k.order_id AND h.version > k.after AND h.version < k.before
                 OFFSET 0
             ) h",
        );
        let rows: Vec<AssignmentRow> =
            bounded(statement.bind(order_ids).bind(after).bind(before).fetch_all(&self.source)).await?;
        rows.into_iter().map(assigned).collect()
    }

    /// The next orders after one, at most `limit`; `None` where there is none.
    pub async fn stretch(&self, after: Uuid, limit: i64) -> Result<Option<Stretch>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT count(*), (array_agg(order_id ORDER BY order_id DESC))[1]
             FROM (SELECT order_id FROM ordering.order_facts WHERE order_id > $1 ORDER BY order_id LIMIT $2) f",
        );
        let (orders, last): (i64, Option<Uuid>) =
            bounded(statement.bind(after).bind(limit).fetch_one(&self.source)).await?;
        Ok(last.map(|last| Stretch { after, last, orders }))
    }

    /// The whole history of these orders.
    pub async fn history(&self, topic: Topic, stretch: Stretch) -> Result<Vec<Event>, StoreError> {
        match topic {
            Topic::Transitions => self.moves_of(stretch).await,
            Topic::Assignments => self.assignments_of(stretch).await,
        }
    }

    async fn moves_of(&self, stretch: Stretch) -> Result<Vec<Event>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            move_columns!(),
            " FROM state_machine.order_history h WHERE h.order_id > $1 AND h.order_id <= $2",
        ));
        let rows: Vec<MoveRow> =
            bounded(statement.bind(stretch.after).bind(stretch.last).fetch_all(&self.source)).await?;
        rows.into_iter().map(moved).collect()
    }

    async fn assignments_of(&self, stretch: Stretch) -> Result<Vec<Event>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT h.order_id, h.version, h.tenant, h.event_time, h.content
             FROM dispatch.assignment_history h
             WHERE h.order_id > $1 AND h.order_id <= $2",
        );
        let rows: Vec<AssignmentRow> =
            bounded(statement.bind(stretch.after).bind(stretch.last).fetch_all(&self.source)).await?;
        rows.into_iter().map(assigned).collect()
    }

    /// How many orders follow one; `None` where counting them takes too long.
    pub async fn orders_after(&self, after: Uuid) -> Option<u64> {
        let statement = sqlx::query_scalar("SELECT count(*) FROM ordering.order_facts WHERE order_id > $1");
        let count: Result<i64, _> = bounded(statement.bind(after).fetch_one(&self.source)).await;
        count.ok().and_then(|count| u64::try_from(count).ok())
    }
}

fn columns(gaps: &[Gap]) -> (Vec<Uuid>, Vec<i64>, Vec<i64>) {
    let of = |value: fn(&Gap) -> i64| gaps.iter().map(value).collect();
    (gaps.iter().map(|gap| gap.order_id).collect(), of(|gap| gap.after), of(|gap| gap.before))
}

/// By way of the event, so that history and topic count alike.
fn moved(row: MoveRow) -> Result<Event, StoreError> {
    let (order_id, version) = (row.order_id, row.version);
    let event = OrderTransition {
        order_id: order_id.to_string(),
        version,
        tenant: row.tenant,
        workflow: row.workflow,
        from_status: row.from_status,
        from_time: row.from_time.map(timestamp),
        to_status: row.to_status,
        phase: row.phase.into(),
        transition_time: Some(timestamp(row.transition_time)),
        trigger: row.trigger.into(),
        total: Some(Money { currency_code: row.currency, units: row.total_units, nanos: row.total_nanos }),
        item_count: row.item_count,
        ..OrderTransition::default()
    };
    Event::of_transition(event).ok_or_else(|| unreadable("transition", order_id, version))
}

fn assigned(row: AssignmentRow) -> Result<Event, StoreError> {
    let AssignmentRow { order_id, version, tenant, event_time, content } = row;
    let event = AssignmentEvent {
        order_id: order_id.to_string(),
        version,
        tenant,
        event_time: Some(timestamp(event_time)),
        ..AssignmentEvent::decode(&*content)?
    };
    Event::of_assignment(event).ok_or_else(|| unreadable("assignment event", order_id, version))
}

fn unreadable(what: &str, order_id: Uuid, version: i64) -> StoreError {
    StoreError::Unreadable(format!("the history has a {what} {order_id}/{version} that cannot be counted"))
}
