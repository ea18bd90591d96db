//! Reading many orders, beside a stream: all that have not ended, or some by their ids.

use std::{
    collections::VecDeque,
    fmt,
    future::{self, Future},
    pin::Pin,
    time::Duration,
};

use comanda_proto::v1::{BatchGetOrdersRequest, ListOrdersRequest, Order, Phase, WatchOrdersRequest};
use tokio::time::sleep;

use crate::{client::Client, error::Error, retry::Waits};

/// The most that the server puts on a page.
const PAGE_SIZE: i32 = 500;
/// The most that the server looks up in one call.
const MAX_IDS: usize = 100;

/// What is to be read.
#[derive(Clone, Debug)]
enum Request {
    /// A page, and those after it.
    Page(ListOrdersRequest),
    /// These ids.
    Ids(Vec<String>, i32),
}

type Answer = Result<(Vec<Order>, Option<Request>), Error>;
type Fetching = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Hands out orders one by one, and reads what is next meanwhile.
pub(crate) struct Reader {
    client: Client,
    orders: VecDeque<Order>,
    next: Option<(Request, Fetching)>,
    waits: Waits,
}

impl Reader {
    /// The orders that a snapshot of this watch holds: those that match and have not ended.
    pub fn snapshot(client: Client, watch: &WatchOrdersRequest) -> Self {
        let filter = watch.filter.clone().unwrap_or_default();
        let holds_active = filter.phases.is_empty() || filter.phases.contains(&Phase::Active.into());
        let list = ListOrdersRequest {
            page_size: PAGE_SIZE,
            statuses: filter.statuses,
            phases: vec![Phase::Active.into()],
            customer_id: filter.customer_id,
            workflow: filter.workflow,
            view: watch.view,
            ..Default::default()
        };
        Self::new(client, holds_active.then_some(Request::Page(list)))
    }

    /// The orders with these ids, where they still exist.
    pub fn ids(client: Client, ids: Vec<String>, watch: &WatchOrdersRequest) -> Self {
        let request = (!ids.is_empty()).then_some(Request::Ids(ids, watch.view));
        Self::new(client, request)
    }

    fn new(client: Client, request: Option<Request>) -> Self {
        let waits = client.waits();
        let mut reader = Self { client, orders: VecDeque::new(), next: None, waits };
        reader.fetch(request, Duration::ZERO);
        reader
    }

    /// The next order; `None` at the end. After an error the same is read again, after the wait that is returned with the error. Nothing
    /// is lost where the returned future is dropped.
    pub async fn next(&mut self) -> Option<Result<Order, (Error, Duration)>> {
        loop {
            if let Some(order) = self.orders.pop_front() {
                return Some(Ok(order));
            }
            let (_, fetching) = self.next.as_mut()?;
            match fetching.await {
                Ok((orders, next)) => self.accept(orders, next),
                Err(error) => return Some(Err(self.again_after(error))),
            }
        }
    }

    /// A page may be short or empty and still not be the last.
    fn accept(&mut self, orders: Vec<Order>, next: Option<Request>) {
        self.waits.reset();
        self.orders.extend(orders);
        self.fetch(next, Duration::ZERO);
    }

    fn again_after(&mut self, error: Error) -> (Error, Duration) {
        let wait = self.waits.after(&error);
        let request = self.next.take().map(|(request, _)| request);
        self.fetch(request, wait);
        (error, wait)
    }

    fn fetch(&mut self, request: Option<Request>, wait: Duration) {
        let client = self.client.clone();
        self.next = request.map(|request| {
            let fetched = request.clone();
            let fetching: Fetching = Box::pin(async move {
                sleep(wait).await;
                fetched.fetch(&client).await
            });
            (request, fetching)
        });
    }
}

impl Request {
    /// The orders, and what is to be read after them.
    async fn fetch(self, client: &Client) -> Answer {
        match self {
            Self::Page(mut list) => {
                let page = client.list_orders(list.clone()).await?;
                list.page_token = page.next_page_token;
                let is_last = list.page_token.is_empty();
                Ok((page.orders, (!is_last).then_some(Self::Page(list))))
            }
            Self::Ids(mut ids, view) => {
                let mut rest = ids.split_off(ids.len().min(MAX_IDS));
                let answer = client.batch_get_orders(BatchGetOrdersRequest { order_ids: ids, view }).await?;
                rest.extend(answer.left_out_order_ids);
                Ok((answer.orders, (!rest.is_empty()).then_some(Self::Ids(rest, view))))
            }
        }
    }
}

/// The next order of a reader that may not be there. Without one it never comes.
pub(crate) async fn next(reader: Option<&mut Reader>) -> Option<Result<Order, (Error, Duration)>> {
    match reader {
        Some(reader) => reader.next().await,
        None => future::pending().await,
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("next", &self.next.as_ref().map(|(request, _)| request)).finish_non_exhaustive()
    }
}
