//! Which part of the orders a statement walks over.

use time::OffsetDateTime;
use uuid::Uuid;

/// Where an order stands in a list: newest first, by both descending.
pub type Position = (OffsetDateTime, Uuid);

/// A part of one tenant's orders that is one range of an index, so that a statement reads no more rows than it returns.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Only orders of this customer.
    pub customer_id: Option<String>,
    /// Only orders created at or after this time.
    pub from: Option<OffsetDateTime>,
    /// Only orders that stand behind this position.
    pub below: Option<Position>,
}

impl Window {
    /// Narrows the window to what stands behind `position`.
    pub fn narrow(&mut self, position: Position) {
        self.below = Some(self.below.map_or(position, |below| below.min(position)));
    }
}

/// The condition of a window and its order, over the columns of `orders`. The parameters are $1 tenant, $2 from, $3 and $4 below, and
/// with a customer $5.
///
/// With a customer, the comparisons begin with the customer and so does the order: only the index by customer gives that order, so the
/// planner cannot choose the one by time and filter a whole table for a customer whose orders it believes to be many.
macro_rules! range {
    (of_tenant) => {
        "tenant = $1
         AND create_time >= coalesce($2, '-infinity'::timestamptz)
         AND (create_time, order_id) < (coalesce($3, 'infinity'::timestamptz), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
         ORDER BY create_time DESC, order_id DESC"
    };
    (of_customer) => {
        "tenant = $1
         AND (customer_id, create_time) >= ($5, coalesce($2, '-infinity'::timestamptz))
         AND (customer_id, create_time, order_id)
             < ($5, coalesce($3, 'infinity'::timestamptz), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
         ORDER BY customer_id DESC, create_time DESC, order_id DESC"
    };
}
pub(super) use range;
