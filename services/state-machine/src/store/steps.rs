//! What is read before steps that dispatch asks for are decided.

use std::collections::HashMap;

use comanda_kit::postgres::{StoreError, bounded};
use sqlx::FromRow;
use uuid::Uuid;

use super::{State, Store};

/// An order's key and the request id of a step for it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct StepKey<'a> {
    pub tenant: &'a str,
    pub order_id: Uuid,
    pub request_id: Uuid,
}

/// Where an order is that a step is asked for.
#[derive(Clone, Debug, FromRow)]
pub struct Found {
    /// Its place in its workflow.
    #[sqlx(flatten)]
    pub state: State,
    /// Whether the step's request id is bound already.
    pub is_answered: bool,
}

impl Store {
    /// The states of orders, at most one key for each, by order id. An order of another tenant than its key's is left out, as is one that does
    /// not exist.
    pub async fn before_steps(&self, keys: &[StepKey<'_>]) -> Result<HashMap<Uuid, Found>, StoreError> {
        let order_ids: Vec<_> = keys.iter().map(|key| key.order_id).collect();
        let tenants: Vec<_> = keys.iter().map(|key| key.tenant).collect();
        let request_ids: Vec<_> = keys.iter().map(|key| key.request_id).collect();
        let mut connection = self.dedicated.take().await?;
        // The limit makes Postgres look each order up by its key.
        let found: Result<Vec<Found>, _> = bounded(
            sqlx::query_as(
                "SELECT s.order_id, s.version, s.status, s.status_time, s.workflow, s.workflow_revision,
                        EXISTS (SELECT FROM requests r WHERE r.order_id = k.order_id AND r.request_id = k.request_id) AS is_answered
                 FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (order_id, tenant, request_id)
                 CROSS JOIN LATERAL (
                     SELECT s.order_id, s.version, s.status, s.status_time, s.workflow, s.workflow_revision
                     FROM states s
                     WHERE s.order_id = k.order_id AND s.tenant = k.tenant
                     LIMIT 1
                 ) s",
            )
            .bind(order_ids)
            .bind(tenants)
            .bind(request_ids)
            .fetch_all(&mut *connection),
        )
        .await;
        Ok(connection.end(found)?.into_iter().map(|found| (found.state.order_id, found)).collect())
    }

    /// The epoch of dispatch's topic.
    pub async fn assignments_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM dispatch.log_epoch").fetch_one(&self.pool)).await
    }
}
