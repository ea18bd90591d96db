//! REST: a request of HTTP becomes a call, its response or error one of HTTP.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{RawPathParams, Request, State},
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::Status;
use tracing::error;

use crate::{
    call::{Servers, metadata_of},
    fields, headers, json,
    limits::{self, Places},
    problem::Problem,
    request::{self, Parts},
    schema::Schema,
    table::{Body as Form, Route},
};

/// What a part of a path may hold as it is.
const PART: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What all routes share.
#[derive(Debug)]
pub struct Context {
    /// The messages.
    pub schema: Schema,
    /// The servers behind the gateway.
    pub servers: Servers,
    /// What goes on at a time.
    pub places: Places,
    /// The time for each call.
    pub deadline: Duration,
}

/// A route and its rpc.
#[derive(Clone, Debug)]
pub struct Served {
    /// What all share.
    pub context: Arc<Context>,
    /// The route.
    pub route: &'static Route,
    /// Its rpc.
    pub method: MethodDescriptor,
}

/// Answers a request for a route of one response.
pub async fn answer(State(served): State<Served>, path: RawPathParams, request: Request) -> Response<Body> {
    served.try_answer(&path_of(&path), request).await.unwrap_or_else(Problem::into_response)
}

impl Served {
    /// Answers a request with these parts of the path, by name.
    pub async fn try_answer(&self, path: &[(String, String)], request: Request) -> Result<Response<Body>, Problem> {
        let _place = self.context.places.call()?;
        let (head, body) = request.into_parts();
        let body = match self.route.body {
            Form::None => Bytes::new(),
            _ => limits::read_json(&head.headers, body, limits::most_bytes(&self.method)).await?,
        };
        let query = head.uri.query().unwrap_or_default();
        let parts = Parts { path, query, headers: &head.headers, body: &body };
        let message = request::build(self.route, &self.method.input(), &parts)?;
        let conditional = head.headers.contains_key(header::IF_MATCH);
        let metadata = metadata_of(&head.headers);
        let call = self.context.servers.unary(&self.method, encoded(&message), metadata, self.context.deadline);
        let answer = call.await.map_err(|status| self.problem(&status, conditional))?;
        self.response(answer)
    }

    /// An error of a call.
    pub fn problem(&self, status: &Status, conditional: bool) -> Problem {
        Problem::of_call(status, conditional, &self.context.schema)
    }

    fn response(&self, answer: Bytes) -> Result<Response<Body>, Problem> {
        let answer = DynamicMessage::decode(self.method.output(), answer).map_err(|failure| {
            error!(method = self.method.full_name(), "the response is no message of this rpc: {failure}");
            self.problem(&comanda_kit::errors::ApiError::internal().into(), false)
        })?;
        let mut response = Response::new(Body::from(json::write(&answer)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(version) = version(&answer) {
            headers.insert(header::ETAG, HeaderValue::try_from(format!("\"{version}\"")).expect("digits"));
        }
        let replayed = is_replayed(&answer);
        if replayed == Some(true) {
            headers.insert(headers::IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some(location) = self.location(&answer) {
            headers.insert(header::LOCATION, location);
            *response.status_mut() = if replayed == Some(true) { StatusCode::OK } else { StatusCode::CREATED };
        }
        Ok(response)
    }

    fn location(&self, answer: &DynamicMessage) -> Option<HeaderValue> {
        let part = |name: &str| Some(utf8_percent_encode(&fields::text(answer, name)?, &PART).to_string());
        fields::fill(self.route.location?, part)?.try_into().ok()
    }
}

/// The parts of the path, by name.
pub fn path_of(path: &RawPathParams) -> Vec<(String, String)> {
    path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A message as the servers read it.
pub fn encoded(message: &DynamicMessage) -> Bytes {
    message.encode_to_vec().into()
}

/// The version of the order that a response is about.
fn version(answer: &DynamicMessage) -> Option<String> {
    ["order.version", "transition.version"].iter().find_map(|path| fields::text(answer, path))
}

fn is_replayed(answer: &DynamicMessage) -> Option<bool> {
    answer.get_field_by_name("replayed")?.as_bool()
}
