//! Sending a batch of rows until each has its answer.

use comanda_client::{Client, Error};
use comanda_proto::v1::{CreateOrderRequest, CreateOrderResponse};

use crate::failure::Failure;

/// A row on its way.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The row's number in its file.
    pub number: usize,
    /// With a request id, so that it can be sent again.
    pub request: CreateOrderRequest,
}

/// What a row led to.
#[derive(Debug)]
pub struct Answer {
    /// The row.
    pub row: Pending,
    /// The order, or why there is none.
    pub outcome: Result<CreateOrderResponse, Error>,
}

/// What a batch led to.
#[derive(Debug, Default)]
pub struct Answers {
    /// One for each row.
    pub rows: Vec<Answer>,
    /// Why the last call failed as a whole, if it did: the next batch would fare no better.
    pub lost: Option<Error>,
}

/// Sends batches over one connection.
#[derive(Clone, Debug)]
pub struct Sender {
    api: Client,
}

impl Sender {
    /// Connects, or says that no server was reached.
    pub async fn connect(api: &Client) -> Result<Self, Failure> {
        api.order_service().await?;
        Ok(Self { api: api.clone() })
    }

    /// Repeats the rows that may succeed later, under the same request ids, until all are answered or the tries are used up.
    pub async fn send(self, pending: Vec<Pending>) -> Answers {
        let requests = pending.iter().map(|row| row.request.clone()).collect();
        let (outcomes, lost) = match self.api.batch_create_orders(requests).await {
            Ok(batch) => (batch.rows, batch.lost),
            Err(error) => (vec![Err(error.clone()); pending.len()], Some(error)),
        };
        let rows = pending.into_iter().zip(outcomes).map(|(row, outcome)| Answer { row, outcome }).collect();
        Answers { rows, lost }
    }
}
