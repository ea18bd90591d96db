//! Sending a batch of rows until each has its answer.

use std::time::Duration;

use comanda_kit::backoff::Backoff;
use comanda_proto::v1::{
    BatchCreateOrdersRequest, BatchCreateOrdersResponse, CreateOrderRequest, CreateOrderResponse,
    batch_create_orders_response::{Result as RowResult, result::Outcome},
    order_service_client::OrderServiceClient,
};
use tonic::{Code, Status, transport::Channel};

use super::{
    connect::Servers,
    status::{exit, from_row, retry_delay},
};
use crate::failure::Exit;

/// About 25 s with the waits between them: longer than a restart, shorter than patience.
const MAX_TRIES: u32 = 8;
/// What a server asks for is honoured, within reason.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A row on its way.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The row's number in its file.
    pub number: usize,
    /// With a request id, so that it can be sent again.
    pub request: CreateOrderRequest,
}

/// What became of a row.
#[derive(Debug)]
pub struct Answer {
    /// The row.
    pub row: Pending,
    /// The order, or why there is none.
    pub outcome: Result<CreateOrderResponse, Status>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Answers {
    /// One for each row.
    pub rows: Vec<Answer>,
    /// Why the last call failed as a whole, where it did: the next batch would fare no better.
    pub lost: Option<Status>,
}

/// Sends batches over one connection.
#[derive(Clone, Debug)]
pub struct Sender {
    orders: OrderServiceClient<Channel>,
    servers: Servers,
}

impl Sender {
    /// Over the connection of this client.
    pub fn new(orders: OrderServiceClient<Channel>, servers: Servers) -> Self {
        Self { orders, servers }
    }

    /// Repeats the rows that may succeed later, under the same request ids, until all are answered or the tries are used up.
    pub async fn send(mut self, mut pending: Vec<Pending>) -> Answers {
        let mut answers = Answers::default();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        for tries_left in (0..MAX_TRIES).rev() {
            let results = self.call(&pending).await;
            let asked = answers.sort(&mut pending, results, tries_left);
            if pending.is_empty() {
                break;
            }
            tokio::time::sleep(asked.min(MAX_WAIT).max(backoff.next_delay())).await;
        }
        answers
    }

    async fn call(&mut self, pending: &[Pending]) -> Result<Vec<RowResult>, Status> {
        let requests = pending.iter().map(|row| row.request.clone()).collect();
        let call = self.orders.batch_create_orders(self.servers.request(BatchCreateOrdersRequest { requests }));
        let BatchCreateOrdersResponse { results } = self.servers.answer(call).await?;
        match results.len() == pending.len() {
            true => Ok(results),
            false => Err(Status::internal(format!("{} results for {} rows", results.len(), pending.len()))),
        }
    }
}

impl Answers {
    /// Moves the rows that are answered out of `pending`, and returns how long the server asks to wait with the others.
    fn sort(
        &mut self,
        pending: &mut Vec<Pending>,
        results: Result<Vec<RowResult>, Status>,
        tries_left: u32,
    ) -> Duration {
        self.lost = results.as_ref().err().filter(|status| may_succeed_later(status)).cloned();
        let outcomes: Vec<_> = match results {
            Ok(results) => results.into_iter().map(outcome).collect(),
            Err(status) => vec![Err(status); pending.len()],
        };
        let mut wait = Duration::ZERO;
        for (row, outcome) in std::mem::take(pending).into_iter().zip(outcomes) {
            match &outcome {
                Err(status) if tries_left > 0 && may_succeed_later(status) => {
                    wait = wait.max(retry_delay(status).unwrap_or_default());
                    pending.push(row);
                }
                _ => self.rows.push(Answer { row, outcome }),
            }
        }
        wait
    }
}

fn outcome(result: RowResult) -> Result<CreateOrderResponse, Status> {
    match result.outcome {
        Some(Outcome::Created(created)) => Ok(created),
        Some(Outcome::Error(error)) => Err(from_row(&error)),
        None => Err(Status::internal("the server answered with neither an order nor an error")),
    }
}

/// Every unknown outcome may be repeated, since each row has a request id; so may a full queue's error.
fn may_succeed_later(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted || exit(status.code()) == Exit::Unknown
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt, pb};

    use super::*;

    fn rows(count: usize) -> Vec<Pending> {
        let row = |number| Pending { number, request: CreateOrderRequest::default() };
        (1..=count).map(row).collect()
    }

    fn created() -> RowResult {
        RowResult { outcome: Some(Outcome::Created(CreateOrderResponse::default())) }
    }

    fn failed(code: Code) -> RowResult {
        RowResult { outcome: Some(Outcome::Error(pb::Status { code: code as i32, ..Default::default() })) }
    }

    fn numbers(rows: &[Pending]) -> Vec<usize> {
        rows.iter().map(|row| row.number).collect()
    }

    #[test]
    fn only_rows_that_may_succeed_later_are_sent_again() {
        let (mut answers, mut pending) = (Answers::default(), rows(3));
        answers.sort(&mut pending, Ok(vec![created(), failed(Code::Unavailable), failed(Code::InvalidArgument)]), 1);
        assert_eq!(numbers(&pending), [2]);
        assert_eq!(answers.rows.len(), 2);
        assert!(answers.lost.is_none());
    }

    #[test]
    fn a_full_queue_is_waited_for_as_long_as_it_asks() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
        let (mut answers, mut pending) = (Answers::default(), rows(2));
        assert_eq!(answers.sort(&mut pending, Err(full), 1), Duration::from_secs(3));
        assert_eq!(numbers(&pending), [1, 2]);
    }

    #[test]
    fn the_last_try_answers_every_row() {
        let (mut answers, mut pending) = (Answers::default(), rows(2));
        answers.sort(&mut pending, Err(Status::unavailable("down")), 0);
        assert!(pending.is_empty());
        assert_eq!(answers.rows.len(), 2);
        assert!(answers.lost.is_some());
    }

    #[test]
    fn a_refused_call_is_not_repeated() {
        let (mut answers, mut pending) = (Answers::default(), rows(2));
        answers.sort(&mut pending, Err(Status::out_of_range("too large")), 5);
        assert!(pending.is_empty());
        assert!(answers.lost.is_none());
    }
}
