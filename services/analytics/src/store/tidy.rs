//! Gates that are not needed any more.

use comanda_kit::postgres::{StoreError, bounded};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;

/// A gate of an order that ended: when, and which order.
pub type EndedGate = (OffsetDateTime, Uuid);

impl Store {
    /// Gates of orders that ended more than so many days ago, after one of them, the oldest first.
    pub async fn ended_gates(&self, days: u16, after: EndedGate, limit: i64) -> Result<Vec<EndedGate>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT end_time, order_id FROM gates
             WHERE end_time < now() - make_interval(days => $1) AND (end_time, order_id) > ($2, $3)
             ORDER BY end_time, order_id
             LIMIT $4",
        );
        let statement = statement.bind(i32::from(days)).bind(after.0).bind(after.1).bind(limit);
        bounded(statement.fetch_all(&self.numbers)).await
    }

    /// Which of these orders are gone for good.
    pub async fn purged(&self, order_ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let statement = sqlx::query_scalar(
            "SELECT k.order_id FROM unnest($1::uuid[]) AS k (order_id)
             WHERE NOT EXISTS (SELECT FROM ordering.order_facts f WHERE f.order_id = k.order_id)",
        );
        bounded(statement.bind(order_ids).fetch_all(&self.source)).await
    }

    /// Forgets the gates of these orders, unless under a newer lease.
    pub async fn forget_gates(&self, lease_epoch: i64, order_ids: &[Uuid]) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "DELETE FROM gates g
             USING (
                 SELECT n.generation, t.topic, k.order_id
                 FROM generations n
                 CROSS JOIN unnest($2::smallint[]) AS t (topic)
                 CROSS JOIN unnest($3::uuid[]) AS k (order_id)
             ) x
             WHERE g.generation = x.generation AND g.topic = x.topic AND g.order_id = x.order_id
               AND EXISTS (SELECT FROM lease WHERE epoch = $1 FOR SHARE)",
        );
        let topics = crate::event::Topic::ALL.map(|topic| topic as i16);
        bounded(statement.bind(lease_epoch).bind(topics.to_vec()).bind(order_ids).execute(&self.numbers))
            .await
            .map(drop)
    }
}

/// Orders some of whose transitions are not counted, for an operator's command on the database of all services.
pub async fn uncounted(connection: &mut PgConnection, transitions: &[(Uuid, i64)]) -> Result<Vec<Uuid>, StoreError> {
    let (order_ids, versions): (Vec<_>, Vec<_>) = transitions.iter().copied().unzip();
    let statement = sqlx::query_scalar(
        "SELECT DISTINCT k.order_id FROM unnest($1::uuid[], $2::bigint[]) AS k (order_id, version)
         WHERE NOT EXISTS (
             SELECT FROM analytics.generations n
             JOIN analytics.gates g ON g.generation = n.generation AND g.topic = 1 AND g.order_id = k.order_id
             WHERE n.state = 2 AND g.version >= k.version
         )",
    );
    bounded(statement.bind(order_ids).bind(versions).fetch_all(connection)).await
}
