//! What couriers did.

use std::collections::BTreeMap;

use comanda_kit::{errors::ApiError, postgres::StoreError};
use comanda_proto::{v1::report_couriers_response::Row, views::timestamp};
use time::OffsetDateTime;

use super::{
    amounts::{duration, mean, of, sum},
    bounded_rows,
};
use crate::{durations::Merger, store::CourierRow};

#[derive(Default)]
struct Group {
    counts: Row,
    pickup_us: i128,
    idle_us: i128,
    busy_us: i128,
    histograms: Vec<Vec<u8>>,
}

/// The rows, from sums.
pub fn couriers(read: Vec<CourierRow>) -> Result<Vec<Row>, ApiError> {
    let mut groups: BTreeMap<(OffsetDateTime, String), Group> = BTreeMap::new();
    for row in read {
        groups.entry((row.bucket_time, row.courier_id.clone())).or_default().add(row)?;
    }
    let mut merger = Merger::default();
    let rows = bounded_rows(groups)?.into_iter().map(|(key, group)| group.row(key, &mut merger));
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Group {
    fn add(&mut self, row: CourierRow) -> Result<(), StoreError> {
        self.counts.offered_count += row.offered;
        self.counts.refused_count += row.refused;
        self.counts.allotted_count += row.allotted;
        self.counts.released_count += row.released;
        self.counts.pickup_count += row.picked_up;
        self.counts.on_time_count += row.on_time;
        self.counts.completed_count += row.completed;
        self.pickup_us += sum(&row.pickup_us)?;
        self.idle_us += sum(&row.idle_us)?;
        self.busy_us += sum(&row.busy_us)?;
        self.histograms.extend(row.pickup);
        Ok(())
    }

    fn row(self, (bucket_time, courier_id): (OffsetDateTime, String), merger: &mut Merger) -> Result<Row, StoreError> {
        let durations = merger.merged(&self.histograms)?;
        Ok(Row {
            bucket_time: Some(timestamp(bucket_time)),
            courier_id,
            mean_pickup_duration: Some(mean(self.pickup_us, self.counts.pickup_count)),
            p50_pickup_duration: Some(of(durations.percentile(50.0))),
            p90_pickup_duration: Some(of(durations.percentile(90.0))),
            idle_duration: Some(duration(self.idle_us)),
            busy_duration: Some(duration(self.busy_us)),
            ..self.counts
        })
    }
}
