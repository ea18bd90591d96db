//! Creating many orders: the rows of a batch are sent until each has its answer.

use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, CreateOrderRequest, CreateOrderResponse,
    batch_create_orders_response::{Result as RowResult, result::Outcome as RowOutcome},
};
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::{
    client::{Client, with_request_id},
    error::Error,
    retry::may_repeat,
};

/// About 30 s with the default waits between them: longer than a restart of a server takes.
const MAX_TRIES: u32 = 8;

/// What a batch led to.
#[derive(Debug)]
pub struct Batch {
    /// For each row, in the order of the request: the order, or why there is none.
    pub rows: Vec<Result<CreateOrderResponse, Error>>,
    /// Why the last call failed as a whole, if it did and a later call may succeed. The next batch would fare no better.
    pub lost: Option<Error>,
}

impl Client {
    /// Creates up to 100 orders. Rows whose error may pass (a server that restarts, a full queue) are sent again under the same request
    /// ids, up to 8 times, each time with the deadline of a call. An empty `request_id` is filled in.
    ///
    /// Fails only if no connection can be made.
    pub async fn batch_create_orders(&self, mut requests: Vec<CreateOrderRequest>) -> Result<Batch, Error> {
        requests.iter_mut().for_each(|request| with_request_id(&mut request.request_id));
        let service = self.order_service().await?;
        let (mut progress, mut waits) = (Progress::new(requests.len()), self.waits());
        for tries_left in (0..MAX_TRIES).rev() {
            let message = BatchCreateOrdersRequest { requests: progress.select(&requests) };
            let send = |request| {
                let mut service = service.clone();
                async move { service.batch_create_orders(request).await }
            };
            let answer = self.attempt(message, send, Instant::now() + self.config().deadline).await;
            progress.note(answer);
            if tries_left == 0 || progress.pending.is_empty() {
                break;
            }
            sleep(waits.asked(progress.retry_after())).await;
        }
        Ok(progress.into_batch())
    }
}

/// The rows by their index: what they were answered last, and which are to be sent again.
struct Progress {
    rows: Vec<Result<CreateOrderResponse, Error>>,
    pending: Vec<usize>,
    lost: Option<Error>,
}

impl Progress {
    fn new(count: usize) -> Self {
        let unsent = Error::new(Code::Internal, "was not sent");
        Self { rows: vec![Err(unsent); count], pending: (0..count).collect(), lost: None }
    }

    fn select(&self, requests: &[CreateOrderRequest]) -> Vec<CreateOrderRequest> {
        self.pending.iter().map(|index| requests[*index].clone()).collect()
    }

    /// Notes the answer to the rows that were pending, and keeps pending those whose error may pass.
    fn note(&mut self, answer: Result<BatchCreateOrdersResponse, Error>) {
        let results = answer.and_then(|answer| complete(answer.results, self.pending.len()));
        self.lost = results.as_ref().err().filter(|error| may_repeat(error)).cloned();
        let outcomes = results.unwrap_or_else(|error| vec![Err(error); self.pending.len()]);
        for (index, outcome) in std::mem::take(&mut self.pending).into_iter().zip(outcomes) {
            if outcome.as_ref().is_err_and(may_repeat) {
                self.pending.push(index);
            }
            self.rows[index] = outcome;
        }
    }

    /// The longest wait that the server asks for.
    fn retry_after(&self) -> Option<std::time::Duration> {
        self.pending.iter().filter_map(|index| self.rows[*index].as_ref().err()?.retry_after).max()
    }

    fn into_batch(self) -> Batch {
        Batch { rows: self.rows, lost: self.lost }
    }
}

fn complete(results: Vec<RowResult>, rows: usize) -> Result<Vec<Result<CreateOrderResponse, Error>>, Error> {
    match results.len() == rows {
        true => Ok(results.into_iter().map(outcome).collect()),
        false => Err(Error::new(Code::Internal, format!("the server gave {} results for {rows} rows", results.len()))),
    }
}

fn outcome(result: RowResult) -> Result<CreateOrderResponse, Error> {
    match result.outcome {
        Some(RowOutcome::Created(created)) => Ok(created),
        Some(RowOutcome::Error(error)) => Err(error.into()),
        None => Err(Error::new(Code::Internal, "the server answered with neither an order nor an error")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::pb;

    use super::*;

    fn created() -> RowResult {
        RowResult { outcome: Some(RowOutcome::Created(CreateOrderResponse::default())) }
    }

    fn failed(code: Code) -> RowResult {
        RowResult { outcome: Some(RowOutcome::Error(pb::Status { code: code as i32, ..Default::default() })) }
    }

    fn answer(results: Vec<RowResult>) -> Result<BatchCreateOrdersResponse, Error> {
        Ok(BatchCreateOrdersResponse { results })
    }

    #[test]
    fn only_rows_that_may_succeed_later_are_sent_again() {
        let mut progress = Progress::new(3);
        progress.note(answer(vec![created(), failed(Code::Unavailable), failed(Code::InvalidArgument)]));
        assert_eq!(progress.pending, [1]);
        progress.note(answer(vec![created()]));
        let batch = progress.into_batch();
        assert!(batch.rows[0].is_ok() && batch.rows[1].is_ok() && batch.rows[2].is_err());
        assert_eq!(batch.lost, None);
    }

    #[test]
    fn a_full_queue_is_waited_for_as_long_as_it_asks() {
        let mut progress = Progress::new(2);
        let wait = Some(Duration::from_secs(3));
        progress.note(Err(Error { retry_after: wait, ..Error::new(Code::ResourceExhausted, "full") }));
        assert_eq!((progress.retry_after(), &*progress.pending), (wait, &[0, 1][..]));
    }

    #[test]
    fn a_server_that_stays_away_is_told() {
        let mut progress = Progress::new(2);
        progress.note(Err(Error::new(Code::Unavailable, "down")));
        let batch = progress.into_batch();
        assert!(batch.lost.is_some() && batch.rows.iter().all(Result::is_err));
    }

    #[test]
    fn a_refused_call_and_a_wrong_number_of_results_answer_every_row() {
        let mut progress = Progress::new(2);
        progress.note(Err(Error::new(Code::OutOfRange, "too large")));
        assert!(progress.pending.is_empty() && progress.lost.is_none());
        let mut progress = Progress::new(2);
        progress.note(answer(vec![created()]));
        assert!(progress.rows.iter().all(Result::is_err));
    }
}
