//! Calls over HTTP, as a program in any language makes them. What comes back is read as strictly as it is promised: an answer of another
//! form becomes a code that no service may answer, which the judge tells.

use std::{sync::LazyLock, time::Duration};

use anyhow::Result;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use comanda_proto::v1::{
    CreateOrderRequest, CreateOrderResponse, GetOrderRequest, GetOrderResponse, ListTransitionsRequest,
    ListTransitionsResponse, WatchOrderRequest, WatchOrdersRequest, get_order_request::Key,
    watch_orders_request::Start,
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header};
use serde::Deserialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::shown;
use crate::cluster::{Replica, Tenant};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A gateway closes a connection that is idle for 30 s; a request must not be on its way then.
const IDLE: Duration = Duration::from_secs(20);

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(comanda_proto::DESCRIPTORS).expect("the build made these descriptors"));

/// A gateway, with connections that are made when they are needed.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    /// As in the history.
    pub(super) name: String,
    base: Url,
    http: Client,
}

/// An error as a gateway tells it (RFC 9457).
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    status: u16,
    code: String,
    reason: String,
    detail: String,
}

impl Gateway {
    /// For a tenant, whose key goes with each request.
    pub(super) fn new(replica: &Replica, tenant: &Tenant) -> Result<Self> {
        // The library demands a provider of ciphers even for plain HTTP. An error says that there is one already.
        _ = rustls::crypto::ring::default_provider().install_default();
        let key = tenant.key.iter().map(|key| Ok((header::AUTHORIZATION, format!("Bearer {key}").try_into()?)));
        let http = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).pool_idle_timeout(IDLE);
        let http = http.default_headers(key.collect::<Result<_>>()?).build()?;
        Ok(Self { name: replica.name.clone(), base: format!("http://{}", replica.address).parse()?, http })
    }

    /// The request id goes in the header alone.
    pub(super) async fn create_order(&self, mut request: CreateOrderRequest) -> Result<CreateOrderResponse, Status> {
        let key = std::mem::take(&mut request.request_id);
        let body = write("CreateOrderRequest", &request);
        let call = self.http.post(self.at("/v1/orders")).header(header::CONTENT_TYPE, "application/json").body(body);
        let call = if key.is_empty() { call } else { call.header("idempotency-key", key) };
        let (status, created): (_, CreateOrderResponse) = answer(call, "CreateOrderResponse").await?;
        let wanted = if created.replayed { StatusCode::OK } else { StatusCode::CREATED };
        if status == wanted { Ok(created) } else { Err(wrong(format!("{status}, where it must be {wanted}"))) }
    }

    pub(super) async fn get_order(&self, request: GetOrderRequest) -> Result<GetOrderResponse, Status> {
        let path = match request.key {
            Some(Key::Number(number)) => format!("/v1/orders/by-number/{number}"),
            Some(Key::OrderId(order_id)) => format!("/v1/orders/{order_id}"),
            None => "/v1/orders/".into(),
        };
        Ok(answer(self.http.get(self.at(&path)), "GetOrderResponse").await?.1)
    }

    pub(super) async fn list_transitions(
        &self,
        request: ListTransitionsRequest,
    ) -> Result<ListTransitionsResponse, Status> {
        let ListTransitionsRequest { order_id, page_size, page_token } = request;
        let mut url = self.at(&format!("/v1/orders/{order_id}/transitions"));
        url.query_pairs_mut().append_pair("page_size", &page_size.to_string()).append_pair("page_token", &page_token);
        Ok(answer(self.http.get(url), "ListTransitionsResponse").await?.1)
    }

    /// The events of an order after the one with this id; `None` where the reader has seen all that there will ever be (204).
    pub(super) async fn events_of_order(
        &self,
        request: WatchOrderRequest,
        last_event_id: &str,
    ) -> Result<Option<Response>, Status> {
        let mut url = self.at(&format!("/v1/orders/{}/events", request.order_id));
        url.query_pairs_mut().append_pair("view", request.view().as_str_name());
        self.events(url, last_event_id).await
    }

    /// The events of many orders.
    pub(super) async fn events_of_orders(&self, request: WatchOrdersRequest) -> Result<Option<Response>, Status> {
        let mut url = self.at("/v1/events");
        let view = request.view().as_str_name();
        let customer_id = request.filter.map(|filter| filter.customer_id).unwrap_or_default();
        url.query_pairs_mut().append_pair("view", view).append_pair("customer_id", &customer_id);
        let last_event_id = match request.start {
            Some(Start::ResumeToken(token)) => URL_SAFE_NO_PAD.encode(token),
            Some(Start::Now(_)) => {
                url.query_pairs_mut().append_pair("start", "now");
                String::new()
            }
            _ => String::new(),
        };
        self.events(url, &last_event_id).await
    }

    async fn events(&self, url: Url, last_event_id: &str) -> Result<Option<Response>, Status> {
        let call = self.http.get(url).header(header::ACCEPT, "text/event-stream");
        let call = if last_event_id.is_empty() { call } else { call.header("last-event-id", last_event_id) };
        let response = call.send().await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NO_CONTENT => Ok(None),
            status => Err(problem(status, &response.bytes().await.map_err(broken)?)),
        }
    }

    fn at(&self, path: &str) -> Url {
        self.base.join(path).expect("ids and numbers make a path")
    }
}

/// What a call is answered: the status, and the message that the body is.
async fn answer<T: Message + Default>(call: RequestBuilder, message: &str) -> Result<(StatusCode, T), Status> {
    let response = call.send().await.map_err(broken)?;
    let status = response.status();
    let body = response.bytes().await.map_err(broken)?;
    if status.is_success() { Ok((status, read(message, &body)?)) } else { Err(problem(status, &body)) }
}

/// What this client's own connection met.
pub(super) fn broken(error: reqwest::Error) -> Status {
    Status::unavailable(format!("no whole answer: {error}"))
}

/// An answer that is not what is promised.
pub(super) fn wrong(what: String) -> Status {
    let details = ErrorDetails::with_error_info(&what, "trials", []);
    Status::with_error_details(Code::DataLoss, what, details)
}

/// The error in a body, which must say the same as the status.
fn problem(status: StatusCode, body: &[u8]) -> Status {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.status == status.as_u16() => problem.into(),
        Ok(problem) => wrong(format!("{status} with a problem of status {}", problem.status)),
        Err(error) => wrong(format!("{status} without a problem: {error}")),
    }
}

impl From<Problem> for Status {
    fn from(Problem { code, reason, detail, .. }: Problem) -> Self {
        let details = ErrorDetails::with_error_info(reason, "comanda", []);
        Self::with_error_details(shown::named(&code), detail, details)
    }
}

/// A message of the API from canonical JSON, which has no other fields.
pub(super) fn read<T: Message + Default>(name: &str, json: &[u8]) -> Result<T, Status> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(descriptor(name), &mut reader).and_then(|it| reader.end().map(|()| it));
    let message = message.map_err(|error| wrong(format!("no {name}: {error}")))?;
    message.transcode_to().map_err(|error| wrong(format!("no {name}: {error}")))
}

/// A message of the API as canonical JSON.
fn write(name: &str, message: &impl Message) -> Vec<u8> {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    dynamic.transcode_from(message).expect("both are of one description");
    serde_json::to_vec(&dynamic).expect("messages of the API hold only what JSON can tell")
}

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("comanda.v1.{name}")).expect("the API has it")
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::workload::content;

    #[test]
    fn an_order_is_the_same_in_json() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let order = content::order(0.5, &mut rng);
            let json = write("CreateOrderRequest", &order);
            assert_eq!(read::<CreateOrderRequest>("CreateOrderRequest", &json).expect("read"), order);
        }
    }

    #[test]
    fn a_problem_is_the_error_that_grpc_tells() {
        let body = br#"{"status": 422, "code": "INVALID_ARGUMENT", "reason": "IDEMPOTENCY_MISMATCH", "detail": "x", "outcome": "not_applied"}"#;
        let status = problem(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(shown::code(&status), Code::InvalidArgument);
        assert_eq!(shown::reason(&status).as_deref(), Some("IDEMPOTENCY_MISMATCH"));
    }

    #[test]
    fn an_answer_of_another_form_has_a_code_that_must_not_be() {
        let problem_of_500 = br#"{"status": 500, "code": "INTERNAL", "reason": "INTERNAL", "detail": "x"}"#;
        for (status, body) in [(503, &b"<html>"[..]), (503, problem_of_500)] {
            let status = problem(StatusCode::from_u16(status).expect("a status"), body);
            assert_eq!(shown::code(&status), Code::DataLoss);
            assert!(shown::reason(&status).is_some_and(|reason| reason.starts_with("503")));
        }
        for json in [&br#"{"surprise": 1}"#[..], b"{} {}", b"{"] {
            let read = read::<GetOrderResponse>("GetOrderResponse", json);
            assert_eq!(read.expect_err("no such message").code(), Code::DataLoss);
        }
    }
}
