//! The rows of GET /orders, read page by page as fast as they are taken.

use std::{collections::HashMap, io, sync::Arc};

use bytes::Bytes;
use comanda_proto::v1::{
    GetWorkflowRequest, GetWorkflowResponse, ListOrdersRequest, ListOrdersResponse, Order, Workflow,
};
use futures::{Stream, stream};
use prost::Message;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tonic::metadata::MetadataMap;

use super::price;
use crate::{problem::Problem, rest::Context};

const PAGE: i32 = 500;

/// Rows that are still to be read.
pub struct Rows {
    context: Arc<Context>,
    metadata: MetadataMap,
    page_token: String,
    /// What this answer has needed so far: the words for the statuses of each revision.
    words: HashMap<(String, i32), Workflow>,
    _place: OwnedSemaphorePermit,
}

impl Rows {
    /// From a page on.
    pub fn new(context: Arc<Context>, metadata: MetadataMap, page_token: &str, place: OwnedSemaphorePermit) -> Self {
        Self { context, metadata, page_token: page_token.to_owned(), words: HashMap::new(), _place: place }
    }

    /// Where the page after the last one begins; empty at the end.
    pub fn next_page_token(&self) -> &str {
        &self.page_token
    }

    /// One page as an array.
    pub async fn one_page(&mut self, size: i32) -> Result<String, Problem> {
        Ok(format!("[{}]", self.page(size).await?))
    }

    /// The beginning of the array: the first page.
    pub async fn first(&mut self) -> Result<String, Problem> {
        Ok(format!("[{}", self.page(PAGE).await?))
    }

    /// The whole array. A page that cannot be read breaks the answer off, so that nobody takes a part for the whole.
    pub fn stream(self, first: String) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let state = Some((self, Some(first)));
        stream::try_unfold(state, |state| async move {
            let Some((mut rows, first)) = state else { return Ok(None) };
            let is_first = first.is_some();
            let mut text = match first {
                Some(first) => first,
                None => rows.page(PAGE).await.map_err(|problem| io::Error::other(problem.detail().to_owned()))?,
            };
            if !is_first && !text.is_empty() {
                text.insert(0, ',');
            }
            if rows.page_token.is_empty() {
                text.push(']');
                return Ok(Some((Bytes::from(text), None)));
            }
            Ok(Some((Bytes::from(text), Some((rows, None)))))
        })
    }

    /// The rows of the next page, with commas between them. It may be empty.
    async fn page(&mut self, size: i32) -> Result<String, Problem> {
        let page_token = std::mem::take(&mut self.page_token);
        let request = ListOrdersRequest { page_size: size, page_token, ..Default::default() };
        let page: ListOrdersResponse = self.call("OrderService/ListOrders", &request).await?;
        self.page_token = page.next_page_token;
        let mut rows = Vec::with_capacity(page.orders.len());
        for order in &page.orders {
            let status = self.word(order).await?;
            rows.push(row(order, &status));
        }
        Ok(rows.join(","))
    }

    /// The Spanish word for the order's status.
    async fn word(&mut self, order: &Order) -> Result<String, Problem> {
        let key = (order.workflow.clone(), order.workflow_revision);
        if !self.words.contains_key(&key) {
            let request = GetWorkflowRequest { name: key.0.clone(), revision: key.1 };
            let found: GetWorkflowResponse = self.call("LifecycleService/GetWorkflow", &request).await?;
            self.words.insert(key.clone(), found.workflow.unwrap_or_default());
        }
        let status = self.words[&key].statuses.iter().find(|status| status.name == order.status);
        let word = status.and_then(|status| status.labels.get("es"));
        Ok(word.unwrap_or(&order.status).clone())
    }

    async fn call<A: Message + Default>(&self, rpc: &str, request: &impl Message) -> Result<A, Problem> {
        let Context { schema, servers, deadline, .. } = &*self.context;
        let method = schema.method(rpc).expect("a test calls it");
        let answer = servers.unary(&method, request.encode_to_vec().into(), self.metadata.clone(), *deadline).await;
        let answer = answer.map_err(|status| Problem::of_call(&status, false, schema))?;
        let unreadable = |_| Problem::of_call(&comanda_kit::errors::ApiError::internal().into(), false, schema);
        A::decode(answer).map_err(unreadable)
    }
}

/// A row as the first program's database gave it: the price is a text.
fn row(order: &Order, status: &str) -> String {
    let names: Vec<_> = order.items.iter().map(|item| item.name.as_str()).collect();
    let price = order.total.as_ref().map(price::text).unwrap_or_default();
    let text = |text: &str| json!(text).to_string();
    format!(
        r#"{{"id":{},"product_name":{},"price":{},"status":{}}}"#,
        order.number,
        text(&names.join(", ")),
        text(&price),
        text(status)
    )
}

#[cfg(test)]
mod tests {
    use comanda_proto::{Money, v1::Item};

    use super::*;

    #[test]
    fn a_row_has_the_columns_of_the_first_table() {
        let item = Item { name: "Pepper - \"Red\"".into(), ..Default::default() };
        let total = Some(Money { currency_code: "USD".into(), units: 10, nanos: 400_000_000 });
        let order = Order { number: 7, items: vec![item], total, ..Default::default() };
        assert_eq!(
            row(&order, "recibido"),
            r#"{"id":7,"product_name":"Pepper - \"Red\"","price":"10.4","status":"recibido"}"#
        );
    }
}
