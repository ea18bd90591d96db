//! The routes of the first description of this system: `POST /new_order` and `GET /orders`, answered as its own program did.

mod price;
mod rows;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts},
};
use clap::Args;
use comanda_proto::v1::{CreateOrderRequest, CreateOrderResponse, Customer, Item};
use prost::Message;
use serde_json::Value;

use self::rows::Rows;
use crate::{call::metadata_of, headers, limits, problem::Problem, query, rest::Context};

/// What it says to what it refuses, and to what it takes.
const EMPTY_BODY: &str = r#"{"message":".body vacio"}"#;
const SENT: &str = "Orden enviada";
const MOST_BYTES: usize = 100 * 1024;

/// What orders have that come without it.
#[derive(Args, Clone, Debug)]
pub struct Defaults {
    /// The currency of the prices that POST /new_order takes.
    #[arg(long, env = "COMANDA_NEW_ORDER_CURRENCY", default_value = "USD")]
    pub new_order_currency: String,
    /// The customer of the orders that POST /new_order makes.
    #[arg(long, env = "COMANDA_NEW_ORDER_CUSTOMER", default_value = "new_order")]
    pub new_order_customer: String,
    /// Where the mails about these orders go [default: none are sent].
    #[arg(long, env = "COMANDA_NEW_ORDER_EMAIL")]
    pub new_order_email: Option<String>,
}

/// What both routes share.
#[derive(Clone, Debug)]
pub struct Seed {
    /// As the other routes have it.
    pub context: Arc<Context>,
    /// What orders have that come without it.
    pub defaults: Arc<Defaults>,
}

/// Answers POST /new_order.
pub async fn new_order(State(seed): State<Seed>, request: Request) -> Response<Body> {
    seed.try_new_order(request).await.unwrap_or_else(|problem| match problem.is(NOTHING_IN_IT) {
        true => plain(StatusCode::BAD_REQUEST, EMPTY_BODY.into()),
        false => problem.into_response(),
    })
}

/// Answers GET /orders: every order, newest first, or with `page_size` one page of them and a link to the next.
pub async fn orders(State(seed): State<Seed>, request: Request) -> Response<Body> {
    seed.try_orders(&request.into_parts().0).await.unwrap_or_else(Problem::into_response)
}

/// Of what the first program refused.
const NOTHING_IN_IT: &str = "NOTHING_IN_IT";

fn nothing_in_it() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, comanda_client::Code::InvalidArgument, NOTHING_IN_IT, "no name or no price")
}

impl Seed {
    async fn try_new_order(&self, request: Request) -> Result<Response<Body>, Problem> {
        let _place = self.context.places.call()?;
        let (head, body) = request.into_parts();
        let body = limits::read_json(&head.headers, body, MOST_BYTES).await?;
        let create = self.create(&body, &head.headers)?;
        let method = self.context.schema.method("OrderService/CreateOrder").expect("a test reads the table");
        let message = create.encode_to_vec().into();
        let call = self.context.servers.unary(&method, message, metadata_of(&head.headers), self.context.deadline);
        let answer = call.await.map_err(|status| Problem::of_call(&status, false, &self.context.schema))?;
        let order = CreateOrderResponse::decode(answer).ok().and_then(|created| created.order).unwrap_or_default();
        let told = format!(r#"{{"message":"{SENT}","order_id":"{}","number":{}}}"#, order.order_id, order.number);
        Ok(plain(StatusCode::OK, told))
    }

    /// The order that a body describes. Other fields are overlooked, as they were.
    fn create(&self, body: &[u8], headers: &HeaderMap) -> Result<CreateOrderRequest, Problem> {
        let body: Value = serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
            .map_err(|error| Problem::invalid_field("body", format!("is not JSON: {error}")))?;
        let (name, price) = (&body["name"], &body["price"]);
        if is_nothing(name) || is_nothing(price) {
            return Err(nothing_in_it());
        }
        let name = text_of(name).ok_or_else(|| Problem::invalid_field("name", "must be a text"))?;
        let unit_price = price::money(price, &self.defaults.new_order_currency)
            .ok_or_else(|| Problem::invalid_field("price", "must be a number such as 12.5, or one as a text"))?;
        let request_id = headers::request_id(headers, "POST /new_order");
        let request_id = request_id.map_err(|text| Problem::invalid_field(headers::IDEMPOTENCY_KEY, text))?;
        Ok(CreateOrderRequest {
            request_id: request_id.map(|id| id.to_string()).unwrap_or_default(),
            customer: Some(Customer {
                customer_id: self.defaults.new_order_customer.clone(),
                email: self.defaults.new_order_email.clone().unwrap_or_default(),
                locale: "es".into(),
                ..Default::default()
            }),
            items: vec![Item { name, quantity: 1, unit_price: Some(unit_price), ..Default::default() }],
            ..Default::default()
        })
    }

    async fn try_orders(&self, head: &Parts) -> Result<Response<Body>, Problem> {
        let place = self.context.places.stream()?;
        let paging = Paging::of(head.uri.query().unwrap_or_default())?;
        let mut rows = Rows::new(self.context.clone(), metadata_of(&head.headers), &paging.page_token, place);
        if let Some(size) = paging.page_size {
            let text = rows.one_page(size).await?;
            return Ok(linked(plain(StatusCode::OK, text), size, rows.next_page_token()));
        }
        // Only the first page can still fail with a status.
        let first = rows.first().await?;
        Ok(json_of(StatusCode::OK, Body::from_stream(rows.stream(first))))
    }
}

/// What the first program took for nothing: what counts as false in JavaScript.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(bool) => !bool,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// A text, or a number as one.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Parameters of GET /orders; without any every order is sent.
struct Paging {
    page_size: Option<i32>,
    page_token: String,
}

impl Paging {
    fn of(text: &str) -> Result<Self, Problem> {
        let mut paging = Self { page_size: None, page_token: String::new() };
        for (name, value) in query::pairs(text) {
            match name.as_str() {
                "page_size" => paging.page_size = Some(page_size(&value)?),
                "page_token" => paging.page_token = value,
                _ => return Err(Problem::invalid_field(name, "there is no such parameter")),
            }
        }
        Ok(paging)
    }
}

fn page_size(text: &str) -> Result<i32, Problem> {
    let size = text.parse().ok().filter(|size| *size > 0);
    size.ok_or_else(|| Problem::invalid_field("page_size", "must be a number above 0"))
}

fn linked(mut response: Response<Body>, size: i32, next: &str) -> Response<Body> {
    if !next.is_empty() {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("page_size", &size.to_string())
            .append_pair("page_token", next)
            .finish();
        let link = format!("</orders?{query}>; rel=\"next\"");
        response.headers_mut().insert(header::LINK, HeaderValue::try_from(link).expect("an encoded query is ASCII"));
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    json_of(status, Body::from(text))
}

fn json_of(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // As express writes it.
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_counts_as_false_in_javascript_is_nothing() {
        for nothing in [json!(null), json!(0), json!(0.0), json!(""), json!(false)] {
            assert!(is_nothing(&nothing), "{nothing}");
        }
        for something in [json!(1), json!("0"), json!(true), json!([]), json!({})] {
            assert!(!is_nothing(&something), "{something}");
        }
    }

    #[test]
    fn the_link_to_the_next_page_is_an_address() {
        let response = linked(plain(StatusCode::OK, "[]".into()), 5, "a+/=");
        assert_eq!(response.headers()[header::LINK], "</orders?page_size=5&page_token=a%2B%2F%3D>; rel=\"next\"");
        assert!(!linked(plain(StatusCode::OK, "[]".into()), 5, "").headers().contains_key(header::LINK));
    }
}
