//! A transition of an order, as it is counted.

use comanda_proto::{events::OrderTransition, v1::Phase, views::offset_date_time};
use time::OffsetDateTime;

use crate::elapsed::microseconds;

/// The order entered a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The status that was left; empty where the order was created.
    pub from_status: String,
    /// How long the order was in it, in microseconds; `None` where it was created.
    pub dwell_us: Option<i64>,
    /// The status that was entered.
    pub to_status: String,
    /// Its phase, a [`Phase`] or one that this build does not know.
    pub phase: i16,
    /// What set it off, a [`Trigger`](comanda_proto::v1::Trigger) or one that this build does not know.
    pub trigger: i16,
    /// Of the order's total; empty where it has none.
    pub currency: String,
    /// The total, as `google.type.Money` has it.
    pub units: i64,
    /// Its fraction.
    pub nanos: i32,
    /// How many items (lines) the order has.
    pub items: i32,
}

impl Moved {
    /// What is counted of a transition at this time; `None` where a part cannot be.
    pub fn of(event: &OrderTransition, time: OffsetDateTime) -> Option<Self> {
        let from_time = event.from_time.as_ref().and_then(offset_date_time);
        let total = event.total.clone().unwrap_or_default();
        let moved = Self {
            from_status: event.from_status.clone(),
            dwell_us: from_time.filter(|_| !event.from_status.is_empty()).map(|from| microseconds(from, time)),
            to_status: event.to_status.clone(),
            phase: i16::try_from(event.phase).ok()?,
            trigger: i16::try_from(event.trigger).ok()?,
            currency: total.currency_code,
            units: total.units,
            nanos: total.nanos,
            items: event.item_count,
        };
        (!moved.to_status.is_empty()).then_some(moved)
    }

    /// Whether the order ended with it. Every phase but ACTIVE is an end, also one that this build does not know.
    pub fn is_end(&self) -> bool {
        i32::from(self.phase) > Phase::Active.into()
    }
}
