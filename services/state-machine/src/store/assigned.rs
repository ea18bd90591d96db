//! Which orders a courier may move.

use comanda_kit::{
    access::Scope,
    postgres::{StoreError, bounded},
};
use uuid::Uuid;

use super::Store;

/// The order is assigned to the courier, or the command is one that the courier gave before: its repetition moves nothing.
const IS_ASSIGNED: &str = "
    SELECT EXISTS (SELECT FROM dispatch.order_couriers WHERE order_id = $1 AND tenant = $2 AND courier_id = $3)
        OR EXISTS (SELECT FROM transitions WHERE order_id = $1 AND tenant = $2 AND actor = $3 AND request_id = $4)";

impl Store {
    /// Whether a courier may give a command for an order.
    pub async fn is_assigned(
        &self,
        courier: &Scope,
        order_id: Uuid,
        request_id: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar(IS_ASSIGNED).bind(order_id).bind(courier.tenant());
        bounded(statement.bind(courier.subject()).bind(request_id).fetch_one(&self.pool)).await
    }
}
