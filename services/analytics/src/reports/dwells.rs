//! How long orders stayed in each status.

use std::collections::BTreeMap;

use comanda_kit::{errors::ApiError, postgres::StoreError};
use comanda_proto::{v1::report_dwell_response::Row, views::timestamp};
use time::OffsetDateTime;

use super::{
    amounts::{mean, of, sum},
    bounded_rows,
};
use crate::{durations::Merger, store::DwellRow};

#[derive(Default)]
struct Group {
    orders: i64,
    dwell_us: i128,
    /// Kept as they are stored, which is small, until their group is merged.
    histograms: Vec<Vec<u8>>,
}

/// The rows, from sums.
pub fn dwells(read: Vec<DwellRow>) -> Result<Vec<Row>, ApiError> {
    let mut groups: BTreeMap<(OffsetDateTime, String, String), Group> = BTreeMap::new();
    for row in read {
        let group = groups.entry((row.bucket_time, row.workflow, row.status)).or_default();
        group.orders += row.orders;
        group.dwell_us += sum(&row.dwell_us)?;
        group.histograms.push(row.dwell);
    }
    let mut merger = Merger::default();
    let rows = bounded_rows(groups)?.into_iter().map(|(key, group)| row(key, &group, &mut merger));
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(
    (bucket_time, workflow, status): (OffsetDateTime, String, String),
    group: &Group,
    merger: &mut Merger,
) -> Result<Row, StoreError> {
    let durations = merger.merged(&group.histograms)?;
    Ok(Row {
        bucket_time: Some(timestamp(bucket_time)),
        workflow,
        status,
        left_count: group.orders,
        mean_duration: Some(mean(group.dwell_us, group.orders)),
        p50_duration: Some(of(durations.percentile(50.0))),
        p90_duration: Some(of(durations.percentile(90.0))),
        p99_duration: Some(of(durations.percentile(99.0))),
    })
}
