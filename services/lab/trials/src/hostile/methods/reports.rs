//! The calls of analytics.

use comanda_proto::v1::{
    CountOrdersRequest, GetAnalyticsStateRequest, ReportCouriersRequest, ReportDwellRequest, ReportFilter,
    ReportRatesRequest, ReportRevenueRequest,
};
use prost::Message;
use rand::{RngExt, rngs::StdRng};

use super::{
    ANALYTICS, Method, method,
    values::{number32, text, time},
};

pub(super) const METHODS: [Method; 6] = [
    method::<CountOrdersRequest>(ANALYTICS, "/comanda.v1.AnalyticsService/CountOrders", report),
    method::<ReportDwellRequest>(ANALYTICS, "/comanda.v1.AnalyticsService/ReportDwell", report),
    method::<ReportRatesRequest>(ANALYTICS, "/comanda.v1.AnalyticsService/ReportRates", report),
    method::<ReportRevenueRequest>(ANALYTICS, "/comanda.v1.AnalyticsService/ReportRevenue", report),
    method::<ReportCouriersRequest>(ANALYTICS, "/comanda.v1.AnalyticsService/ReportCouriers", couriers),
    method::<GetAnalyticsStateRequest>(ANALYTICS, "/comanda.v1.AnalyticsService/GetAnalyticsState", |_| Vec::new()),
];

fn filter(rng: &mut StdRng) -> Option<ReportFilter> {
    let filter = ReportFilter {
        from_time: time(rng),
        before_time: time(rng),
        workflow: if rng.random_bool(0.5) { String::new() } else { text(rng) },
        bucket: number32(rng),
    };
    rng.random_bool(0.9).then_some(filter)
}

/// These calls have the same fields.
fn report(rng: &mut StdRng) -> Vec<u8> {
    CountOrdersRequest { filter: filter(rng) }.encode_to_vec()
}

fn couriers(rng: &mut StdRng) -> Vec<u8> {
    ReportCouriersRequest { filter: filter(rng), courier_id: text(rng) }.encode_to_vec()
}
