//! What statements read, on tables that were never analyzed.

use anyhow::Result;
use comanda_proto::v1::{CountOrdersRequest, ReportCouriersRequest, ReportDwellRequest, ReportFilter};
use comanda_proto::views::timestamp;
use time::{Duration, macros::datetime};

use crate::fixture::Fixture;

#[tokio::test]
async fn no_statement_reads_more_than_it_needs() -> Result<()> {
    let fixture = Fixture::new().await?;
    let many = fixture.live("default", 120, 71).await?;
    let (replica, client) = fixture.serve().await?;
    fixture.publish(&many).await?;
    fixture.counted(&client).await;
    replica.stop().await?;
    sqlx::query(
        "INSERT INTO analytics.gates (generation, topic, order_id, version, end_time)
         SELECT 1, 1, gen_random_uuid(), 5, now() FROM generate_series(1, 20000)",
    )
    .execute(&fixture.sql)
    .await?;
    sqlx::query(
        "INSERT INTO analytics.transitions (generation, tenant, span, span_time, workflow, from_status, to_status, phase, trigger,
                                            currency, orders, items, total_units, total_nanos, dwell_us)
         SELECT 1, 'default', 1, '2020-01-01Z'::timestamptz + i * interval '1 hour', 'old', '', 'received', 1, 1, 'UYU', 1, 1, 1, 0, 0
         FROM generate_series(0, 20000) i",
    )
    .execute(&fixture.sql)
    .await?;
    fixture.environment.forget_reads().await?;
    let few = fixture.live("default", 10, 72).await?;
    let (replica, mut client) = fixture.serve().await?;
    fixture.publish(&few).await?;
    fixture.counted(&client).await;
    let filter = Some(ReportFilter {
        from_time: Some(timestamp(datetime!(2026-01-15 07:00 UTC))),
        before_time: Some(timestamp(datetime!(2026-01-15 07:00 UTC) + Duration::days(60))),
        ..ReportFilter::default()
    });
    client.count_orders(CountOrdersRequest { filter: filter.clone() }).await?;
    client.report_dwell(ReportDwellRequest { filter: filter.clone() }).await?;
    client.report_couriers(ReportCouriersRequest { filter, courier_id: String::new() }).await?;
    replica.stop().await?;
    for (entries, read) in fixture.environment.reads().await? {
        if entries.starts_with("analytics.gates") || entries.starts_with("analytics.transitions") {
            assert!(read < 5000, "{read} entries of {entries} were read");
        }
    }
    Ok(())
}
