//! From sums to the rows of a report. Pure.

mod amounts;
mod counts;
mod couriers;
mod dwells;
mod rates;
mod revenues;

use comanda_kit::errors::ApiError;
use comanda_proto::errors::reason;
use tonic::Code;

pub use self::{counts::counts, couriers::couriers, dwells::dwells, rates::rates, revenues::revenues};

/// How many rows a report has at most.
pub const MOST_ROWS: usize = 10_000;
/// How many sums are read for it at most.
pub const MOST_READ: usize = 100_000;

/// The error of a report that would have, or read, too much.
pub fn too_large() -> ApiError {
    let message =
        format!("the report would have more than {MOST_ROWS} rows: narrow the filter or take a larger bucket");
    ApiError::new(Code::FailedPrecondition, reason::REPORT_TOO_LARGE, message).with("most_rows", MOST_ROWS)
}

/// The rows, if they are not too many.
fn bounded_rows<R>(rows: impl IntoIterator<Item = R>) -> Result<Vec<R>, ApiError> {
    let rows: Vec<R> = rows.into_iter().take(MOST_ROWS + 1).collect();
    if rows.len() > MOST_ROWS { Err(too_large()) } else { Ok(rows) }
}
