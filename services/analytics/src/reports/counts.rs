//! How many orders entered each status, and how many were in it.

use std::collections::BTreeMap;

use comanda_kit::errors::ApiError;
use comanda_proto::{v1::count_orders_response::Row, views::timestamp};
use time::OffsetDateTime;

use super::{MOST_ROWS, too_large};
use crate::{period::Period, store::CountRow};

/// Workflow, status, phase.
type Key = (String, String, i16);

/// How many orders are in each status, without zeros.
#[derive(Default)]
struct Present(BTreeMap<Key, i64>);

impl Present {
    fn change(&mut self, key: Key, change: i64) {
        let count = self.0.entry(key.clone()).or_insert(0);
        *count += change;
        if *count == 0 {
            self.0.remove(&key);
        }
    }
}

/// The rows, from what entered and left before the period and in each bucket of it.
pub fn counts(period: &Period, before: Vec<CountRow>, within: Vec<CountRow>) -> Result<Vec<Row>, ApiError> {
    let mut present = Present::default();
    before.into_iter().for_each(|row| present.change((row.workflow, row.status, row.phase), row.change));
    let mut buckets: BTreeMap<OffsetDateTime, Vec<CountRow>> = BTreeMap::new();
    within.into_iter().for_each(|row| buckets.entry(row.bucket_time).or_default().push(row));
    let mut rows = Vec::new();
    for bucket_time in period.buckets() {
        let mut entered = BTreeMap::new();
        for row in buckets.remove(&bucket_time).unwrap_or_default() {
            let key = (row.workflow, row.status, row.phase);
            present.change(key.clone(), row.change);
            if row.entered != 0 {
                entered.insert(key, row.entered);
            }
        }
        rows.extend(of_bucket(bucket_time, &entered, &present));
        if rows.len() > MOST_ROWS {
            return Err(too_large());
        }
    }
    Ok(rows)
}

fn of_bucket(bucket_time: OffsetDateTime, entered: &BTreeMap<Key, i64>, present: &Present) -> Vec<Row> {
    let mut counts: BTreeMap<&Key, (i64, i64)> = BTreeMap::new();
    entered.iter().for_each(|(key, count)| counts.entry(key).or_default().0 = *count);
    present.0.iter().for_each(|(key, count)| counts.entry(key).or_default().1 = *count);
    let row = |((workflow, status, phase), (entered_count, present_count)): (&Key, (i64, i64))| Row {
        bucket_time: Some(timestamp(bucket_time)),
        workflow: workflow.clone(),
        status: status.clone(),
        phase: i32::from(*phase),
        entered_count,
        present_count,
    };
    counts.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;
    use crate::period::Cut;

    const FROM: OffsetDateTime = datetime!(2026-11-01 00:00 UTC);

    fn row(bucket: i64, status: &str, entered: i64, change: i64) -> CountRow {
        let bucket_time = FROM + Duration::hours(bucket);
        CountRow { bucket_time, workflow: "delivery".into(), status: status.into(), phase: 1, entered, change }
    }

    #[test]
    fn present_orders_are_carried_from_bucket_to_bucket_and_zeros_left_out() {
        let period = Period { from: FROM, before: FROM + Duration::hours(4), cut: Cut::Hours };
        let before = vec![row(0, "received", 9, 2), row(0, "preparing", 7, 0)];
        let within = vec![row(1, "received", 3, 1), row(1, "preparing", 2, 2), row(3, "received", 0, -3)];
        let rows = counts(&period, before, within).expect("few");
        let shown: Vec<_> = rows
            .iter()
            .map(|row| {
                let hour = (row.bucket_time.expect("set").seconds - FROM.unix_timestamp()) / 3600;
                (hour, &*row.status, row.entered_count, row.present_count)
            })
            .collect();
        let expected = [
            (0, "received", 0, 2),
            (1, "preparing", 2, 2),
            (1, "received", 3, 3),
            (2, "preparing", 0, 2),
            (2, "received", 0, 3),
            (3, "preparing", 0, 2),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn too_many_rows_are_refused() {
        let period = Period { from: FROM, before: FROM + Duration::days(366), cut: Cut::Hours };
        let before = vec![row(0, "received", 1, 1), row(0, "preparing", 1, 1)];
        assert!(counts(&period, before, Vec::new()).is_err());
    }
}
