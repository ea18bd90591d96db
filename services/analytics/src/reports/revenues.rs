//! What was sold.

use comanda_kit::{errors::ApiError, postgres::StoreError};
use comanda_proto::{v1::report_revenue_response::Row, views::timestamp};

use super::{
    amounts::{money, sum},
    bounded_rows,
};
use crate::store::RevenueRow;

/// The rows, from sums: one for each.
pub fn revenues(mut read: Vec<RevenueRow>) -> Result<Vec<Row>, ApiError> {
    read.sort_by(|a, b| (a.bucket_time, &a.workflow, &a.currency).cmp(&(b.bucket_time, &b.workflow, &b.currency)));
    let rows = read.into_iter().map(|row| {
        let total = money(&row.currency, sum(&row.total_units)?, sum(&row.total_nanos)?);
        Ok(Row {
            bucket_time: Some(timestamp(row.bucket_time)),
            workflow: row.workflow,
            order_count: row.orders,
            item_count: row.items,
            total: Some(total),
        })
    });
    bounded_rows(rows.collect::<Result<Vec<_>, StoreError>>()?)
}
