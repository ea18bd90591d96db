//! Reports say what the history says, of the caller's tenant alone, and never read or answer too much.

use std::collections::BTreeMap;

use anyhow::Result;
use comanda_analytics::Config;
use comanda_kit::access::{Access, Scope};
use comanda_proto::{
    access::Role,
    v1::{
        Bucket, CountOrdersRequest, Phase, ReportCouriersRequest, ReportDwellRequest, ReportFilter, ReportRatesRequest,
        ReportRevenueRequest,
    },
    views::{offset_date_time, timestamp},
};
use time::{Duration, OffsetDateTime, macros::datetime};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    fixture::{Fixture, connect},
    lives::BEGINNING,
    numbers::expected_jobs,
};

const FROM: OffsetDateTime = datetime!(2026-01-31 05:00 UTC);
const BEFORE: OffsetDateTime = datetime!(2026-02-02 09:00 UTC);

fn filter(bucket: Bucket) -> Option<ReportFilter> {
    let (from_time, before_time) = (Some(timestamp(FROM)), Some(timestamp(BEFORE)));
    Some(ReportFilter { from_time, before_time, workflow: String::new(), bucket: bucket.into() })
}

fn seconds(duration: Option<prost_types::Duration>) -> f64 {
    let duration = duration.expect("set");
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

#[tokio::test]
async fn counts_are_those_of_the_history_in_every_bucket() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 80, 41).await?;
    fixture.live("acme", 10, 42).await?;
    let (replica, mut client) = fixture.serve().await?;
    fixture.publish(&past).await?;
    fixture.counted(&client).await;
    for (bucket, unit) in [(Bucket::Total, None), (Bucket::Day, Some("day")), (Bucket::Hour, Some("hour"))] {
        let answer = client.count_orders(CountOrdersRequest { filter: filter(bucket) }).await?.into_inner();
        assert!(answer.fold_time.is_some());
        let found: Vec<_> = answer
            .rows
            .into_iter()
            .map(|row| {
                let time = row.bucket_time.as_ref().and_then(offset_date_time).expect("a time");
                (time, row.workflow, row.status, row.phase as i16, row.entered_count, row.present_count)
            })
            .collect();
        let expected: Vec<(OffsetDateTime, String, String, i16, i64, i64)> = sqlx::query_as(
            "WITH steps AS (
                 SELECT workflow, to_status AS status, phase, transition_time AS time, 1 AS entered, 1 AS change
                 FROM state_machine.order_history WHERE tenant = 'default'
                 UNION ALL
                 SELECT workflow, from_status, 1, transition_time, 0, -1
                 FROM state_machine.order_history WHERE tenant = 'default' AND from_status <> ''
             ), buckets AS (
                 SELECT b AS start, least(b + ('1 ' || $3)::interval, $2) AS bucket_end
                 FROM generate_series(date_trunc($3, $1::timestamptz, 'UTC'), $2::timestamptz - interval '1 second', ('1 ' || $3)::interval) b
                 UNION ALL SELECT $1, $2 WHERE $3 IS NULL
             )
             SELECT b.start, s.workflow, s.status, s.phase::smallint,
                    coalesce(sum(s.entered) FILTER (WHERE s.time >= greatest(b.start, $1)), 0)::bigint AS entered, sum(s.change)::bigint
             FROM buckets b JOIN steps s ON s.time < b.bucket_end
             GROUP BY 1, 2, 3, 4
             HAVING sum(s.change) <> 0 OR coalesce(sum(s.entered) FILTER (WHERE s.time >= greatest(b.start, $1)), 0) <> 0
             ORDER BY 1, 2, 3, 4",
        )
        .bind(FROM)
        .bind(BEFORE)
        .bind(unit)
        .fetch_all(&fixture.sql)
        .await?;
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "{bucket:?}");
    }
    replica.stop().await
}

#[tokio::test]
async fn dwells_rates_and_revenues_are_those_of_the_history() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 80, 43).await?;
    let (replica, mut client) = fixture.serve().await?;
    fixture.publish(&past).await?;
    fixture.counted(&client).await;
    let dwells = client.report_dwell(ReportDwellRequest { filter: filter(Bucket::Total) }).await?.into_inner().rows;
    let expected: Vec<(String, String, i64, f64, f64, f64, f64)> = sqlx::query_as(
        "SELECT workflow, from_status, count(*), avg(dwell)::float8, percentile_disc(0.5) WITHIN GROUP (ORDER BY dwell),
                percentile_disc(0.9) WITHIN GROUP (ORDER BY dwell), percentile_disc(0.99) WITHIN GROUP (ORDER BY dwell)
         FROM (SELECT workflow, from_status, extract(epoch FROM transition_time - from_time)::float8 AS dwell
               FROM state_machine.order_history
               WHERE tenant = 'default' AND from_status <> '' AND transition_time >= $1 AND transition_time < $2) d
         GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .bind(FROM)
    .bind(BEFORE)
    .fetch_all(&fixture.sql)
    .await?;
    assert_eq!(dwells.len(), expected.len());
    for (row, (workflow, status, left, mean, p50, p90, p99)) in dwells.into_iter().zip(expected) {
        assert_eq!((row.workflow, row.status, row.left_count), (workflow, status, left));
        assert!((seconds(row.mean_duration) - mean).abs() < 0.000_002, "the mean is exact");
        for (told, exact) in [(row.p50_duration, p50), (row.p90_duration, p90), (row.p99_duration, p99)] {
            let told = seconds(told);
            assert!((told - exact).abs() <= exact * 0.01 + 0.001, "{told} is not {exact}");
        }
    }

    let rates = client.report_rates(ReportRatesRequest { filter: filter(Bucket::Day) }).await?.into_inner().rows;
    let found: Vec<_> = rates
        .iter()
        .map(|row| {
            let ends = [row.succeeded_count, row.cancelled_count, row.rejected_count, row.failed_count];
            assert_eq!(row.ended_count, ends.iter().sum::<i64>());
            let time = row.bucket_time.as_ref().and_then(offset_date_time).expect("a time");
            (time, row.workflow.clone(), row.created_count, ends.to_vec())
        })
        .filter(|(_, _, created, ends)| *created + ends.iter().sum::<i64>() > 0)
        .collect();
    let expected: Vec<(OffsetDateTime, String, i64, Vec<i64>)> = sqlx::query_as(
        "SELECT date_trunc('day', transition_time, 'UTC'), workflow, count(*) FILTER (WHERE from_status = ''),
                ARRAY[count(*) FILTER (WHERE phase = 2), count(*) FILTER (WHERE phase = 3), count(*) FILTER (WHERE phase = 4),
                      count(*) FILTER (WHERE phase = 5)]
         FROM state_machine.order_history
         WHERE tenant = 'default' AND transition_time >= $1 AND transition_time < $2 AND (from_status = '' OR phase > 1)
         GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .bind(FROM)
    .bind(BEFORE)
    .fetch_all(&fixture.sql)
    .await?;
    assert_eq!(found, expected);
    assert_eq!(
        [Phase::Succeeded, Phase::Cancelled, Phase::Rejected, Phase::Failed].map(|phase| phase as i32),
        [2, 3, 4, 5]
    );

    let revenues =
        client.report_revenue(ReportRevenueRequest { filter: filter(Bucket::Total) }).await?.into_inner().rows;
    let found: Vec<_> = revenues
        .into_iter()
        .map(|row| {
            let total = row.total.expect("set");
            (row.workflow, total.currency_code, row.order_count, row.item_count, total.units, i64::from(total.nanos))
        })
        .collect();
    let expected: Vec<(String, String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT workflow, currency, count(*), sum(item_count)::bigint, (sum(total_units) + div(sum(total_nanos)::numeric, 1000000000))::bigint,
                (sum(total_nanos)::numeric % 1000000000)::bigint
         FROM state_machine.order_history
         WHERE tenant = 'default' AND phase = 2 AND transition_time >= $1 AND transition_time < $2
         GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .bind(FROM)
    .bind(BEFORE)
    .fetch_all(&fixture.sql)
    .await?;
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
    replica.stop().await
}

#[tokio::test]
async fn couriers_have_the_sums_of_their_events() -> Result<()> {
    let fixture = Fixture::new().await?;
    let past = fixture.live("default", 60, 44).await?;
    let (replica, mut client) = fixture.serve().await?;
    fixture.publish(&past).await?;
    fixture.counted(&client).await;
    // February as a whole, so that the sums of the month are the expected ones.
    let (from_time, before_time) = (datetime!(2026-02-01 00:00 UTC), datetime!(2026-03-01 00:00 UTC));
    let filter = ReportFilter {
        from_time: Some(timestamp(from_time)),
        before_time: Some(timestamp(before_time)),
        ..ReportFilter::default()
    };
    let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for line in expected_jobs(&[&past]).iter().filter(|line| line.starts_with("default 3 2026-02")) {
        let words: Vec<_> = line.split(' ').collect();
        let sums = expected.entry(words[5].to_owned()).or_insert_with(|| vec![0; 10]);
        sums.iter_mut().zip(&words[6..]).for_each(|(sum, word)| *sum += word.parse::<i64>().expect("a number"));
    }
    let request = ReportCouriersRequest { filter: Some(filter.clone()), courier_id: String::new() };
    let rows = client.report_couriers(request).await?.into_inner().rows;
    let found: BTreeMap<String, Vec<i64>> = rows
        .iter()
        .map(|row| {
            let us = |duration: Option<prost_types::Duration>| (seconds(duration) * 1e6).round() as i64;
            let counts =
                [row.offered_count, row.refused_count, row.allotted_count, row.released_count, row.pickup_count];
            let more = [row.on_time_count, row.completed_count];
            let pickup_us = us(row.mean_pickup_duration) * row.pickup_count;
            let sums = [pickup_us, us(row.idle_duration), us(row.busy_duration)];
            (row.courier_id.clone(), [&counts[..], &more, &sums].concat())
        })
        .collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (courier, sums) in &found {
        let expected = &expected[courier];
        // The mean is rounded down to a microsecond.
        assert!(
            (expected[7] - sums[7]).abs() <= sums[4] && sums[..7] == expected[..7] && sums[8..] == expected[8..],
            "{courier}"
        );
    }
    let request = ReportCouriersRequest { filter: Some(filter), courier_id: "courier-2".into() };
    let only = client.report_couriers(request).await?.into_inner().rows;
    assert_eq!(only, rows.into_iter().filter(|row| row.courier_id == "courier-2").collect::<Vec<_>>());
    replica.stop().await
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another_and_a_filter_leaves_out_other_workflows() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mine, theirs) = (fixture.live("acme", 30, 45).await?, fixture.live("default", 30, 46).await?);
    let access = Access::everyone_is(Scope::new("acme", "ana", Role::Owner));
    let replica = fixture.start_as(access, &Config::default())?;
    let mut client = connect(&replica).await?;
    fixture.publish(&mine).await?;
    fixture.publish(&theirs).await?;
    fixture.counted(&client).await;
    let month = ReportFilter {
        from_time: Some(timestamp(BEGINNING - Duration::DAY)),
        before_time: Some(timestamp(BEGINNING + Duration::days(20))),
        ..ReportFilter::default()
    };
    let rates = client.report_rates(ReportRatesRequest { filter: Some(month.clone()) }).await?.into_inner().rows;
    assert_eq!(rates.iter().map(|row| row.created_count).sum::<i64>(), 30);
    let jobs =
        client.report_couriers(ReportCouriersRequest { filter: Some(month.clone()), ..Default::default() }).await?;
    let allotted: i64 = jobs.into_inner().rows.iter().map(|row| row.allotted_count).sum();
    let own =
        |event: &&comanda_proto::events::AssignmentEvent| event.allot_time.is_none() && event.idle_duration.is_some();
    assert_eq!(allotted, mine.assignments.iter().filter(own).count() as i64);
    let rides = Some(ReportFilter { workflow: "ride".into(), ..month });
    for row in client.count_orders(CountOrdersRequest { filter: rides.clone() }).await?.into_inner().rows {
        assert_eq!(row.workflow, "ride");
    }
    for row in client.report_dwell(ReportDwellRequest { filter: rides }).await?.into_inner().rows {
        assert_eq!(row.workflow, "ride");
    }
    replica.stop().await
}

#[tokio::test]
async fn a_report_that_would_be_too_large_is_refused_with_advice() -> Result<()> {
    let fixture = Fixture::new().await?;
    sqlx::query(
        "INSERT INTO analytics.transitions (generation, tenant, span, span_time, workflow, from_status, to_status, phase, trigger,
                                            currency, orders, items, total_units, total_nanos, dwell_us)
         SELECT 1, 'default', 1, '2026-01-01Z'::timestamptz + i * interval '1 hour', 'w' || n, '', 'received', 1, 1, 'UYU', 1, 1, 1, 0, 0
         FROM generate_series(0, 8000) i CROSS JOIN generate_series(1, 2) n",
    )
    .execute(&fixture.sql)
    .await?;
    let (replica, mut client) = fixture.serve().await?;
    let filter = ReportFilter {
        from_time: Some(timestamp(datetime!(2026-01-01 00:00 UTC))),
        before_time: Some(timestamp(datetime!(2026-12-31 00:00 UTC))),
        workflow: String::new(),
        bucket: Bucket::Hour.into(),
    };
    let rates =
        client.report_rates(ReportRatesRequest { filter: Some(filter.clone()) }).await.expect_err("16,000 rows");
    let counts = client.count_orders(CountOrdersRequest { filter: Some(filter.clone()) }).await.expect_err("more");
    for error in [rates, counts] {
        assert_eq!(error.code(), Code::FailedPrecondition);
        let info = error.get_error_details().error_info().expect("a reason").clone();
        assert_eq!(info.reason, "REPORT_TOO_LARGE");
    }
    let narrow = ReportFilter { workflow: "w1".into(), ..filter };
    assert_eq!(client.report_rates(ReportRatesRequest { filter: Some(narrow) }).await?.into_inner().rows.len(), 8001);
    let invalid = ReportFilter { bucket: 7, workflow: "\n".into(), ..ReportFilter::default() };
    let error = client.report_revenue(ReportRevenueRequest { filter: Some(invalid) }).await.expect_err("invalid");
    let details = error.get_error_details();
    let fields: Vec<_> =
        details.bad_request().expect("violations").field_violations.iter().map(|v| &*v.field).collect();
    assert_eq!(fields, ["filter.workflow", "filter.bucket"]);
    replica.stop().await
}
