//! What callers ask for, checked: every offending field is named.

use comanda_kit::errors::{ApiError, Violations};
use comanda_proto::{
    v1::{Bucket, ReportCouriersRequest, ReportFilter},
    views::offset_date_time,
};
use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::{
    period::{Cut, LONGEST, Period},
    span::Span,
    store::Wanted,
};

/// The longest name of a workflow or key of a courier.
const MOST_CHARS: usize = 64;

/// What a report is about.
pub fn wanted(filter: Option<ReportFilter>, now: OffsetDateTime) -> Result<Wanted, ApiError> {
    let mut violations = Violations::default();
    let wanted = read(filter.unwrap_or_default(), now, &mut violations);
    violations.check()?;
    Ok(wanted)
}

/// The same, and for which courier.
pub fn wanted_couriers(request: ReportCouriersRequest, now: OffsetDateTime) -> Result<(Wanted, String), ApiError> {
    let mut violations = Violations::default();
    let wanted = read(request.filter.unwrap_or_default(), now, &mut violations);
    violations.text("courier_id", &request.courier_id, 0, MOST_CHARS);
    violations.check()?;
    Ok((wanted, request.courier_id))
}

fn read(filter: ReportFilter, now: OffsetDateTime, violations: &mut Violations) -> Wanted {
    violations.text("filter.workflow", &filter.workflow, 0, MOST_CHARS);
    let from = hour("filter.from_time", filter.from_time.as_ref(), violations);
    let before = hour("filter.before_time", filter.before_time.as_ref(), violations);
    let before = before.unwrap_or_else(|| Span::Hour.start(now) + Duration::HOUR);
    let from = from.unwrap_or(before - Duration::DAY);
    violations.require(from < before, "filter.before_time", "must be at least an hour after from_time, in full hours");
    violations.require(before - from <= LONGEST, "filter.from_time", "must be at most 366 days before before_time");
    let cut = cut(filter.bucket);
    violations.require(cut.is_some(), "filter.bucket", "must be BUCKET_TOTAL, BUCKET_HOUR or BUCKET_DAY");
    let period = Period { from, before, cut: cut.unwrap_or(Cut::Whole) };
    Wanted { period, workflow: filter.workflow }
}

/// A time rounded down to its hour.
fn hour(field: &str, time: Option<&Timestamp>, violations: &mut Violations) -> Option<OffsetDateTime> {
    let read = offset_date_time(time?).filter(|time| (1971..=9000).contains(&time.year()));
    violations.require(read.is_some(), field, "must be a time of the years 1971 to 9000");
    read.map(|time| Span::Hour.start(time))
}

fn cut(bucket: i32) -> Option<Cut> {
    match Bucket::try_from(bucket).ok()? {
        Bucket::Unspecified | Bucket::Total => Some(Cut::Whole),
        Bucket::Hour => Some(Cut::Hours),
        Bucket::Day => Some(Cut::Days),
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::views::timestamp;
    use time::macros::datetime;
    use tonic::Status;
    use tonic_types::StatusExt;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-26 15:20 UTC);

    fn violated(filter: ReportFilter) -> Vec<String> {
        let error = wanted(Some(filter), NOW).expect_err("refused");
        let details = Status::from(error).get_error_details();
        details.bad_request().expect("violations").field_violations.iter().map(|v| v.field.clone()).collect()
    }

    #[test]
    fn without_a_filter_it_is_the_last_day_up_to_the_end_of_this_hour() {
        let Wanted { period, workflow } = wanted(None, NOW).expect("valid");
        let before = datetime!(2026-11-26 16:00 UTC);
        assert_eq!(period, Period { from: before - Duration::DAY, before, cut: Cut::Whole });
        assert_eq!(workflow, "");
    }

    #[test]
    fn times_are_rounded_down_to_hours() {
        let filter = ReportFilter {
            from_time: Some(timestamp(datetime!(2026-11-01 10:59:59 UTC))),
            before_time: Some(timestamp(datetime!(2026-11-01 12:01 UTC))),
            ..ReportFilter::default()
        };
        let period = wanted(Some(filter), NOW).expect("valid").period;
        assert_eq!((period.from.hour(), period.before.hour(), period.from.minute()), (10, 12, 0));
    }

    #[test]
    fn every_offending_field_is_named() {
        let year = Some(timestamp(NOW - Duration::days(367)));
        let filter = ReportFilter { from_time: year, workflow: "a\nb".into(), bucket: 9, ..ReportFilter::default() };
        assert_eq!(violated(filter), ["filter.workflow", "filter.from_time", "filter.bucket"]);
        let hour = Some(timestamp(datetime!(2026-11-01 10:00 UTC)));
        let filter = ReportFilter { from_time: hour, before_time: hour, ..ReportFilter::default() };
        assert_eq!(violated(filter), ["filter.before_time"]);
        let nowhere = Some(Timestamp { seconds: i64::MAX, nanos: -1 });
        let filter = ReportFilter { before_time: nowhere, ..ReportFilter::default() };
        assert_eq!(violated(filter), ["filter.before_time"]);
        let request = ReportCouriersRequest { courier_id: "x".repeat(65), filter: None };
        assert!(wanted_couriers(request, NOW).is_err());
    }
}
