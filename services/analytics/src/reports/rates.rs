//! How orders ended.

use std::collections::BTreeMap;

use comanda_kit::errors::ApiError;
use comanda_proto::{
    v1::{Phase, report_rates_response::Row},
    views::timestamp,
};

use super::bounded_rows;
use crate::store::{EndRow, PickupRow};

/// Phase of the rows that count created orders.
const CREATED: i32 = Phase::Unspecified as i32;

/// The rows, from sums.
pub fn rates(ends: Vec<EndRow>, pickups: Vec<PickupRow>) -> Result<Vec<Row>, ApiError> {
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    for end in ends {
        count(rows.entry((end.bucket_time, end.workflow)).or_default(), end.phase.into(), end.orders);
    }
    for pickup in pickups {
        let row = rows.entry((pickup.bucket_time, pickup.workflow)).or_default();
        row.pickup_count += pickup.picked_up;
        row.on_time_count += pickup.on_time;
    }
    let named = |((bucket_time, workflow), row)| Row { bucket_time: Some(timestamp(bucket_time)), workflow, ..row };
    bounded_rows(rows.into_iter().map(named))
}

/// A phase that this build does not know is an end all the same.
fn count(row: &mut Row, phase: i32, orders: i64) {
    if phase == CREATED {
        row.created_count += orders;
        return;
    }
    row.ended_count += orders;
    match Phase::try_from(phase) {
        Ok(Phase::Succeeded) => row.succeeded_count += orders,
        Ok(Phase::Cancelled) => row.cancelled_count += orders,
        Ok(Phase::Rejected) => row.rejected_count += orders,
        Ok(Phase::Failed) => row.failed_count += orders,
        _ => {}
    }
}
