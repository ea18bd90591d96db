//! What analytics reports over the whole run.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use comanda_checker::history::{Report, ReportRow, What};
use comanda_proto::v1::{
    CountOrdersRequest, ReportCouriersRequest, ReportDwellRequest, ReportFilter, ReportRatesRequest,
    ReportRevenueRequest, analytics_service_client::AnalyticsServiceClient,
};
use tonic::transport::{Channel, Endpoint};

use crate::{
    cluster::{Endpoints, Role, Tenant},
    recorder::Recorder,
};

/// Longer than any run lasts.
const PERIOD: Duration = Duration::from_secs(48 * 3600);
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes all of them down, as one replica answers them. Nothing where none runs.
pub(super) async fn dump(endpoints: &Endpoints, recorder: &Recorder) -> Result<()> {
    let Some(replica) = endpoints.of(Role::Analytics).next() else { return Ok(()) };
    let endpoint = Endpoint::from_shared(format!("http://{}", replica.direct))?.timeout(PATIENCE);
    let mut analytics = AnalyticsServiceClient::new(endpoint.connect().await?).max_decoding_message_size(64 << 20);
    for tenant in &endpoints.tenants {
        for row in rows(&mut analytics, tenant).await? {
            recorder.record(What::ReportRow(ReportRow { tenant: tenant.name.clone(), ..row }));
        }
    }
    Ok(())
}

/// The tenant is not in them yet.
async fn rows(analytics: &mut AnalyticsServiceClient<Channel>, tenant: &Tenant) -> Result<Vec<ReportRow>> {
    let from_time = Some((SystemTime::now() - PERIOD).into());
    let filter = Some(ReportFilter { from_time, ..ReportFilter::default() });
    let mut rows = Vec::new();
    let answer =
        analytics.count_orders(tenant.request(CountOrdersRequest { filter: filter.clone() })).await?.into_inner();
    rows.extend(answer.rows.into_iter().map(|row| {
        let values = [("entered_count", row.entered_count), ("present_count", row.present_count)];
        line(Report::Orders, vec![row.workflow, row.status], &values)
    }));
    let answer =
        analytics.report_dwell(tenant.request(ReportDwellRequest { filter: filter.clone() })).await?.into_inner();
    rows.extend(answer.rows.into_iter().map(|row| {
        let values = [
            ("left_count", row.left_count),
            ("mean_us", microseconds(row.mean_duration)),
            ("p50_us", microseconds(row.p50_duration)),
            ("p90_us", microseconds(row.p90_duration)),
            ("p99_us", microseconds(row.p99_duration)),
        ];
        line(Report::Dwell, vec![row.workflow, row.status], &values)
    }));
    let answer =
        analytics.report_rates(tenant.request(ReportRatesRequest { filter: filter.clone() })).await?.into_inner();
    rows.extend(answer.rows.into_iter().map(|row| {
        let values = [
            ("created_count", row.created_count),
            ("ended_count", row.ended_count),
            ("succeeded_count", row.succeeded_count),
            ("cancelled_count", row.cancelled_count),
            ("rejected_count", row.rejected_count),
            ("failed_count", row.failed_count),
            ("pickup_count", row.pickup_count),
            ("on_time_count", row.on_time_count),
        ];
        line(Report::Rates, vec![row.workflow], &values)
    }));
    let answer =
        analytics.report_revenue(tenant.request(ReportRevenueRequest { filter: filter.clone() })).await?.into_inner();
    rows.extend(answer.rows.into_iter().map(|row| {
        let total = row.total.unwrap_or_default();
        let values = [
            ("order_count", row.order_count),
            ("item_count", row.item_count),
            ("total_units", total.units),
            ("total_nanos", i64::from(total.nanos)),
        ];
        line(Report::Revenue, vec![row.workflow, total.currency_code], &values)
    }));
    let request = tenant.request(ReportCouriersRequest { filter, courier_id: String::new() });
    rows.extend(analytics.report_couriers(request).await?.into_inner().rows.into_iter().map(|row| {
        let values = [
            ("offered_count", row.offered_count),
            ("refused_count", row.refused_count),
            ("allotted_count", row.allotted_count),
            ("released_count", row.released_count),
            ("pickup_count", row.pickup_count),
            ("on_time_count", row.on_time_count),
            ("completed_count", row.completed_count),
            ("mean_pickup_us", microseconds(row.mean_pickup_duration)),
            ("p50_pickup_us", microseconds(row.p50_pickup_duration)),
            ("p90_pickup_us", microseconds(row.p90_pickup_duration)),
            ("idle_us", microseconds(row.idle_duration)),
            ("busy_us", microseconds(row.busy_duration)),
        ];
        line(Report::Couriers, vec![row.courier_id], &values)
    }));
    Ok(rows)
}

fn line(report: Report, key: Vec<String>, values: &[(&str, i64)]) -> ReportRow {
    let values: BTreeMap<_, _> = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    ReportRow { tenant: String::new(), report, key, values }
}

fn microseconds(duration: Option<prost_types::Duration>) -> i64 {
    duration.map_or(0, |duration| duration.seconds * 1_000_000 + i64::from(duration.nanos) / 1000)
}
