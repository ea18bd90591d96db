//! Which AssignOrder made which assignment, and what else a caller's order is checked for.

use comanda_kit::{
    access::Scope,
    postgres::{StoreError, bounded},
};
use sqlx::FromRow;
use uuid::Uuid;

use super::Store;

/// For how many days an id is remembered.
const KEPT_DAYS: i32 = 7;

/// What a request id was used for.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Asked {
    pub order_id: Uuid,
    pub courier_id: String,
    pub attempt: i32,
}

impl Store {
    /// What one of the caller's request ids was used for.
    pub async fn asked(&self, scope: &Scope, request_id: Uuid) -> Result<Option<Asked>, StoreError> {
        let statement = "SELECT order_id, courier_id, attempt FROM requests WHERE tenant = $1 AND request_id = $2";
        let statement = || sqlx::query_as(statement).bind(scope.tenant()).bind(request_id);
        self.calls.repeated(|mut c| async { (statement().fetch_optional(&mut *c).await, c) }).await
    }

    /// Forgets request ids that are old enough, at most `limit`. Returns how many.
    pub async fn forget_requests(&self, limit: i64) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "DELETE FROM requests
             WHERE (tenant, request_id) IN (
                 SELECT tenant, request_id FROM requests
                 WHERE create_time < now() - make_interval(days => $1)
                 ORDER BY create_time
                 LIMIT $2
             )",
        );
        Ok(bounded(statement.bind(KEPT_DAYS).bind(limit).execute(&self.pool)).await?.rows_affected())
    }

    /// Whether the caller has such an order.
    pub async fn has_order(&self, scope: &Scope, order_id: Uuid) -> Result<bool, StoreError> {
        let statement = "SELECT EXISTS (SELECT FROM ordering.order_facts WHERE order_id = $2 AND tenant = $1)";
        let statement = || sqlx::query_scalar(statement).bind(scope.tenant()).bind(order_id);
        self.calls.repeated(|mut c| async { (statement().fetch_one(&mut *c).await, c) }).await
    }

    /// Whether an order of the caller's tenant is the caller's own, as a customer.
    pub async fn is_own_order(&self, scope: &Scope, order_id: Uuid) -> Result<bool, StoreError> {
        let statement =
            "SELECT EXISTS (SELECT FROM ordering.order_facts WHERE order_id = $2 AND tenant = $1 AND customer_id = $3)";
        let statement = || sqlx::query_scalar(statement).bind(scope.tenant()).bind(order_id).bind(scope.subject());
        self.calls.repeated(|mut c| async { (statement().fetch_one(&mut *c).await, c) }).await
    }
}
