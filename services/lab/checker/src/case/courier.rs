//! Calls to dispatch.

use crate::history::CourierAction;

/// One call of a courier, or of somebody for it.
#[derive(Clone, Copy, Debug)]
pub struct CourierCall<'a> {
    /// Whose data its client may reach.
    pub tenant: &'a str,
    /// When it was sent.
    pub sent_us: u64,
    /// When it was answered.
    pub done_us: u64,
    /// What was asked for.
    pub action: CourierAction,
    /// Of whom.
    pub courier_id: &'a str,
    /// The order, or nothing.
    pub order_id: &'a str,
    /// Whether it was answered OK, and a position taken.
    pub is_done: bool,
}
