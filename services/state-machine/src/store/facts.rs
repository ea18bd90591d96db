//! What never changes of orders and is part of every transition's record. The replica that adopted an order keeps it, so that the records of its
//! transitions need not be read back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use comanda_kit::recent::Recent;
use comanda_proto::{v1::Phase, views::TransitionRow};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

/// Facts of one order, as ordering's view shows them.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Facts {
    pub number: i64,
    pub customer_id: String,
    pub workflow: String,
    pub workflow_revision: i32,
    pub currency: String,
    pub total_units: i64,
    pub total_nanos: i32,
    pub item_count: i32,
    pub traceparent: Option<String>,
}

impl Facts {
    /// A transition with these facts, and nothing else yet.
    pub fn into_transition(self) -> TransitionRow {
        TransitionRow {
            number: self.number,
            customer_id: self.customer_id,
            workflow: self.workflow,
            workflow_revision: self.workflow_revision,
            currency: self.currency,
            total_units: self.total_units,
            total_nanos: self.total_nanos,
            item_count: self.item_count,
            traceparent: self.traceparent,
            order_id: Uuid::nil(),
            version: 0,
            tenant: String::new(),
            from_status: String::new(),
            from_time: None,
            to_status: String::new(),
            phase: 0,
            transition_time: OffsetDateTime::UNIX_EPOCH,
            trigger: 0,
            actor: String::new(),
            reason: String::new(),
            next_transition_time: None,
        }
    }
}

/// Facts of the orders that were adopted last, within a bound. Clones share them.
#[derive(Clone, Debug)]
pub struct Known(Arc<Mutex<Recent<Uuid, Facts>>>);

impl Known {
    /// A cache of at most `most_bytes`; with 0 nothing is kept.
    pub fn new(most_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Recent::new(most_bytes))))
    }

    /// Notes facts of an order.
    pub fn note(&self, order_id: Uuid, facts: Facts) {
        let traceparent = facts.traceparent.as_ref().map_or(0, String::len);
        let texts = facts.customer_id.len() + facts.workflow.len() + facts.currency.len() + traceparent;
        let bytes = size_of::<(Uuid, Facts)>() + texts;
        // A map is up to half empty.
        self.orders().put(order_id, facts, 2 * bytes);
    }

    /// The facts of an order that entered a status of this phase. Those of an order that has ended are forgotten.
    pub fn of(&self, order_id: Uuid, phase: i16) -> Option<Facts> {
        let mut orders = self.orders();
        if phase == Phase::Active as i16 { orders.get(&order_id).cloned() } else { orders.take(&order_id) }
    }

    fn orders(&self) -> MutexGuard<'_, Recent<Uuid, Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
