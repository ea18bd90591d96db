//! What a request says outside of its body: in the path, the query and headers.

use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::{comments, schemas::Schemas};
use crate::{
    fields, query,
    table::{Body, Route},
};

/// All of a route.
pub fn of_route(route: &Route, method: &MethodDescriptor, schemas: &mut Schemas) -> Vec<Value> {
    let input = method.input();
    let in_path = fields::in_braces(route.path);
    let mut all: Vec<_> = in_path.iter().map(|name| of_path(&input, name, schemas)).collect();
    if route.body == Body::None {
        all.extend(of_query(&input, &in_path, schemas));
        all.extend(of_events(method));
    }
    all.extend(of_headers(method));
    all
}

fn of_path(input: &MessageDescriptor, name: &str, schemas: &mut Schemas) -> Value {
    let field = fields::of_path(input, name).expect("a test reads the table");
    let mut schema = schemas.of_one(&field);
    if field.name() == "order_id" {
        schema["format"] = "uuid".into();
    }
    let description = comments::of_field(&field);
    json!({"name": last(name), "in": "path", "required": true, "schema": schema, "description": description})
}

/// The fields that have no place in the path, those of a filter among them.
fn of_query(input: &MessageDescriptor, in_path: &[&str], schemas: &mut Schemas) -> Vec<Value> {
    let filter = input.get_field_by_name("filter").as_ref().and_then(fields::inner);
    let own = input.fields().filter(|field| !is_given(field, in_path));
    let all: Vec<_> = own.chain(filter.iter().flat_map(|filter| filter.fields().collect::<Vec<_>>())).collect();
    let usable = all.into_iter().filter(query::is_value).filter(|field| !PLACES.contains(&field.name()));
    usable
        .map(|field| {
            let mut schema = schemas.of(&field);
            if field.name() == "page_size" {
                schema["minimum"] = 0.into();
            }
            json!({"name": field.name(), "in": "query", "schema": schema, "description": comments::of_field(&field)})
        })
        .collect()
}

/// Whether the path gives a field, or another one that it excludes.
fn is_given(field: &FieldDescriptor, in_path: &[&str]) -> bool {
    let excluding = field.containing_oneof().into_iter().flat_map(|oneof| oneof.fields().collect::<Vec<_>>());
    excluding.chain([field.clone()]).any(|field| in_path.contains(&field.name()))
}

/// What only routes of events take.
fn of_events(method: &MethodDescriptor) -> Vec<Value> {
    let query = |name: &str, schema: Value, description: &str| json!({"name": name, "in": "query", "schema": schema, "description": description});
    let mut all = Vec::new();
    if resumes(method) {
        all.push(query(
            "last_event_id",
            json!({"type": "string"}),
            "What Last-Event-ID says, where that cannot be set.",
        ));
    }
    if method.name() == "WatchOrders" {
        let schema = json!({"type": "string", "enum": ["snapshot", "now"], "default": "snapshot"});
        all.push(query(
            "start",
            schema,
            "With now the active orders are left out. Without effect after Last-Event-ID.",
        ));
    }
    all
}

fn resumes(method: &MethodDescriptor) -> bool {
    method.is_server_streaming() && PLACES.iter().any(|name| method.input().get_field_by_name(name).is_some())
}

/// What Last-Event-ID says on routes of events.
const PLACES: [&str; 2] = ["after_version", "resume_token"];

fn of_headers(method: &MethodDescriptor) -> Vec<Value> {
    let has = |name: &str| method.input().get_field_by_name(name).is_some();
    let mut all = Vec::new();
    if has("request_id") || has("requests") {
        all.push(idempotency_key());
    }
    if has("expected_version") {
        let description = "Apply only while the order has this version: the ETag, such as \"7\" in quotes.";
        all.push(header("If-Match", json!({"type": "string", "pattern": "^(\\*|\"[^\",]*\")$"}), description));
    }
    if resumes(method) {
        all.push(header("Last-Event-ID", json!({"type": "string"}), "Go on after the event with this id."));
    }
    all
}

/// The header Idempotency-Key.
pub fn idempotency_key() -> Value {
    let description = "Makes the request safe to repeat: a UUID, which becomes the request_id, or another text of up to 255 characters.";
    header("Idempotency-Key", json!({"type": "string", "minLength": 1, "maxLength": 255}), description)
}

fn header(name: &str, schema: Value, description: &str) -> Value {
    json!({"name": name, "in": "header", "schema": schema, "description": description})
}

/// The last part of a name with dots.
pub fn last(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}
