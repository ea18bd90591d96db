//! What is read before commands and steps are decided.

use comanda_kit::postgres::{StoreError, bounded};
use comanda_proto::v1::Trigger;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Answered, Asked, State, Store};

/// An order of a tenant, and the request id of a command or a step for it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Key<'a> {
    pub tenant: &'a str,
    pub order_id: Uuid,
    pub request_id: Option<Uuid>,
}

/// Where an order is that is to move.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its place in its workflow.
    pub state: State,
    /// The command or step of the key's request id, if one was answered.
    pub answered: Option<Answered>,
}

#[derive(FromRow)]
struct Row {
    place: i64,
    #[sqlx(flatten)]
    state: State,
    trigger: Option<i16>,
    asked_status: Option<String>,
    answered_version: Option<i64>,
}

impl Store {
    /// The states of orders, in the order of the keys. An order of another tenant than its key's is not found, nor is one that does not exist.
    pub async fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Option<Found>>, StoreError> {
        let order_ids: Vec<_> = keys.iter().map(|key| key.order_id).collect();
        let tenants: Vec<_> = keys.iter().map(|key| key.tenant).collect();
        let request_ids: Vec<_> = keys.iter().map(|key| key.request_id).collect();
        let statement = || sqlx::query_as(FIND).bind(&order_ids).bind(&tenants).bind(&request_ids);
        let rows: Vec<Row> =
            self.dedicated.repeated(|mut c| async { (statement().fetch_all(&mut *c).await, c) }).await?;
        let mut found = vec![None; keys.len()];
        for row in rows {
            let place = row.place as usize - 1;
            found[place] = Some(row.found(keys[place].request_id));
        }
        Ok(found)
    }

    /// The epoch of dispatch's topic.
    pub async fn assignments_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM dispatch.log_epoch").fetch_one(&self.pool)).await
    }
}

impl Row {
    fn found(self, request_id: Option<Uuid>) -> Found {
        let Self { state, trigger, asked_status, answered_version, .. } = self;
        let answered = match (request_id, trigger, asked_status, answered_version) {
            (Some(request_id), Some(trigger), Some(status), Some(version)) => {
                let trigger = Trigger::try_from(i32::from(trigger)).unwrap_or_default();
                Some(Answered { asked: Asked { request_id, trigger, status }, version })
            }
            _ => None,
        };
        Found { state, answered }
    }
}

/// The limits make Postgres look each order and each request id up by its key.
const FIND: &str = "
    SELECT k.place, s.order_id, s.version, s.status, s.status_time, s.workflow, s.workflow_revision,
           r.trigger, r.asked_status, r.version AS answered_version
    FROM unnest($1::uuid[], $2::text[], $3::uuid[]) WITH ORDINALITY AS k (order_id, tenant, request_id, place)
    CROSS JOIN LATERAL (
        SELECT s.order_id, s.version, s.status, s.status_time, s.workflow, s.workflow_revision
        FROM states s
        WHERE s.order_id = k.order_id AND s.tenant = k.tenant
        LIMIT 1
    ) s
    LEFT JOIN LATERAL (
        SELECT r.trigger, r.asked_status, r.version FROM requests r WHERE r.order_id = k.order_id AND r.request_id = k.request_id LIMIT 1
    ) r ON true";
