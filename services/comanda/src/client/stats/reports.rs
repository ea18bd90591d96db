//! Each report: the call, its rows, and its columns.

use comanda_client::{Client, Error};
use comanda_proto::v1::{
    CountOrdersRequest, ReportCouriersRequest, ReportDwellRequest, ReportFilter, ReportRatesRequest,
    ReportRevenueRequest, count_orders_response, report_couriers_response, report_dwell_response,
    report_rates_response, report_revenue_response,
};
use prost::Message;
use prost_types::Timestamp;

use super::{
    super::print::word,
    cell::Cell::{Amount, Count, Share, Text, Time},
    table::{Line, Shape, Table},
};

/// A report of one kind.
#[derive(Clone, Debug)]
pub enum Report {
    /// How many orders entered each status.
    Orders,
    /// How long orders stayed in each status.
    Dwell,
    /// How orders ended.
    Rates,
    /// What was sold.
    Revenue,
    /// What each courier did; of one courier, or of all.
    Couriers(String),
}

/// What came back: messages for programs, a table for people.
#[derive(Debug)]
pub struct Answer<M> {
    /// The rows.
    pub rows: Vec<M>,
    /// Everything that was published before is counted.
    pub fold_time: Option<Timestamp>,
}

/// A row of a report.
pub trait Row: Message + Sized {
    /// Its name in the API.
    const NAME: &'static str;
    /// How its table looks.
    const SHAPE: Shape;

    /// As a line of the table.
    fn line(&self) -> Line;
}

/// The rows as a table.
pub fn table<R: Row>(rows: &[R]) -> Table {
    Table { shape: R::SHAPE, lines: rows.iter().map(R::line).collect() }
}

/// How many orders entered each status.
pub async fn orders(client: &Client, filter: ReportFilter) -> Result<Answer<count_orders_response::Row>, Error> {
    let answer = client.count_orders(CountOrdersRequest { filter: Some(filter) }).await?;
    Ok(Answer { rows: answer.rows, fold_time: answer.fold_time })
}

/// How long orders stayed in each status.
pub async fn dwell(client: &Client, filter: ReportFilter) -> Result<Answer<report_dwell_response::Row>, Error> {
    let answer = client.report_dwell(ReportDwellRequest { filter: Some(filter) }).await?;
    Ok(Answer { rows: answer.rows, fold_time: answer.fold_time })
}

/// How orders ended.
pub async fn rates(client: &Client, filter: ReportFilter) -> Result<Answer<report_rates_response::Row>, Error> {
    let answer = client.report_rates(ReportRatesRequest { filter: Some(filter) }).await?;
    Ok(Answer { rows: answer.rows, fold_time: answer.fold_time })
}

/// What was sold.
pub async fn revenue(client: &Client, filter: ReportFilter) -> Result<Answer<report_revenue_response::Row>, Error> {
    let answer = client.report_revenue(ReportRevenueRequest { filter: Some(filter) }).await?;
    Ok(Answer { rows: answer.rows, fold_time: answer.fold_time })
}

/// What couriers did.
pub async fn couriers(
    client: &Client,
    filter: ReportFilter,
    courier_id: String,
) -> Result<Answer<report_couriers_response::Row>, Error> {
    let answer = client.report_couriers(ReportCouriersRequest { filter: Some(filter), courier_id }).await?;
    Ok(Answer { rows: answer.rows, fold_time: answer.fold_time })
}

impl Row for count_orders_response::Row {
    const NAME: &'static str = "comanda.v1.CountOrdersResponse.Row";
    const SHAPE: Shape = Shape { names: &["WORKFLOW", "STATUS", "PHASE", "ENTERED", "PRESENT"], keys: 3, drawn: 3 };

    fn line(&self) -> Line {
        let phase = word(self.phase().as_str_name(), "PHASE_");
        let counts = [Count(self.entered_count), Count(self.present_count)];
        let keys = [Text(self.workflow.clone()), Text(self.status.clone()), Text(phase)];
        Line { time: self.bucket_time, cells: keys.into_iter().chain(counts).collect() }
    }
}

impl Row for report_dwell_response::Row {
    const NAME: &'static str = "comanda.v1.ReportDwellResponse.Row";
    const SHAPE: Shape =
        Shape { names: &["WORKFLOW", "STATUS", "LEFT", "MEAN", "P50", "P90", "P99"], keys: 2, drawn: 4 };

    fn line(&self) -> Line {
        let keys = [Text(self.workflow.clone()), Text(self.status.clone()), Count(self.left_count)];
        let times = [self.mean_duration, self.p50_duration, self.p90_duration, self.p99_duration].map(Time);
        Line { time: self.bucket_time, cells: keys.into_iter().chain(times).collect() }
    }
}

impl Row for report_rates_response::Row {
    const NAME: &'static str = "comanda.v1.ReportRatesResponse.Row";
    const SHAPE: Shape = Shape {
        names: &[
            "WORKFLOW",
            "CREATED",
            "ENDED",
            "SUCCEEDED",
            "CANCELLED",
            "REJECTED",
            "FAILED",
            "PICKED UP",
            "ON TIME",
        ],
        keys: 1,
        drawn: 1,
    };

    fn line(&self) -> Line {
        let counts = [Text(self.workflow.clone()), Count(self.created_count), Count(self.ended_count)];
        let ends = [self.succeeded_count, self.cancelled_count, self.rejected_count, self.failed_count];
        let ends = ends.map(|count| Share(count, self.ended_count));
        let pickups = [Count(self.pickup_count), Share(self.on_time_count, self.pickup_count)];
        Line { time: self.bucket_time, cells: counts.into_iter().chain(ends).chain(pickups).collect() }
    }
}

impl Row for report_revenue_response::Row {
    const NAME: &'static str = "comanda.v1.ReportRevenueResponse.Row";
    const SHAPE: Shape = Shape { names: &["WORKFLOW", "CURRENCY", "ORDERS", "ITEMS", "TOTAL"], keys: 2, drawn: 4 };

    fn line(&self) -> Line {
        let currency = self.total.as_ref().map(|total| total.currency_code.clone()).unwrap_or_default();
        let keys = [Text(self.workflow.clone()), Text(currency)];
        let sums = [Count(self.order_count), Count(self.item_count), Amount(self.total.clone())];
        Line { time: self.bucket_time, cells: keys.into_iter().chain(sums).collect() }
    }
}

impl Row for report_couriers_response::Row {
    const NAME: &'static str = "comanda.v1.ReportCouriersResponse.Row";
    const SHAPE: Shape = Shape {
        names: &[
            "COURIER",
            "OFFERED",
            "REFUSED",
            "ALLOTTED",
            "RELEASED",
            "PICKED UP",
            "ON TIME",
            "COMPLETED",
            "PICKUP MEAN",
            "P50",
            "P90",
            "IDLE",
            "BUSY",
        ],
        keys: 1,
        drawn: 7,
    };

    fn line(&self) -> Line {
        let jobs =
            [self.offered_count, self.refused_count, self.allotted_count, self.released_count, self.pickup_count];
        let pickups = [self.mean_pickup_duration, self.p50_pickup_duration, self.p90_pickup_duration];
        let times = pickups.into_iter().chain([self.idle_duration, self.busy_duration]).map(Time);
        let done = [Share(self.on_time_count, self.pickup_count), Count(self.completed_count)];
        let cells = std::iter::once(Text(self.courier_id.clone())).chain(jobs.map(Count)).chain(done).chain(times);
        Line { time: self.bucket_time, cells: cells.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits<R: Row + Default>() {
        let line = R::default().line();
        assert_eq!(line.cells.len(), R::SHAPE.names.len(), "{}", R::NAME);
        assert!(line.cells[..R::SHAPE.keys].iter().all(super::super::cell::Cell::is_text), "{}", R::NAME);
        assert!(!line.cells[R::SHAPE.drawn].is_text(), "{}", R::NAME);
    }

    #[test]
    fn every_report_has_a_cell_for_each_name() {
        fits::<count_orders_response::Row>();
        fits::<report_dwell_response::Row>();
        fits::<report_rates_response::Row>();
        fits::<report_revenue_response::Row>();
        fits::<report_couriers_response::Row>();
    }
}
