//! One route as an operation.

use prost_reflect::{MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::{
    comments,
    schemas::{self, Schemas},
};
use crate::{
    fields, query,
    table::{Body, Route},
};

/// The operation of a route. `uses` is how many routes of the same rpc come before.
pub fn operation(route: &Route, method: &MethodDescriptor, uses: usize, schemas: &mut Schemas) -> Value {
    let description = comments::of_method(method);
    let summary = description.split_once(". ").map_or(&*description, |(first, _)| first);
    let mut operation = json!({
        "operationId": id(route, method, uses),
        "tags": [method.parent_service().name()],
        "summary": format!("{}.", summary.lines().next().unwrap_or_default().trim_end_matches('.')),
        "description": description,
        "parameters": parameters(route, method, schemas),
        "responses": responses(route, method, schemas),
    });
    if let Some(body) = body(route, &method.input(), schemas) {
        operation["requestBody"] = body;
    }
    operation
}

/// The name of the rpc; where it has several routes, with the path of the others.
fn id(route: &Route, method: &MethodDescriptor, uses: usize) -> String {
    if uses == 0 {
        return method.name().to_owned();
    }
    let parts = route.path.split('/').filter(|part| !part.is_empty() && *part != "v1");
    let parts = parts.map(|part| part.trim_matches(['{', '}']).replace(['.', '-'], "_"));
    format!("{}_{}", method.name(), parts.collect::<Vec<_>>().join("_"))
}

fn parameters(route: &Route, method: &MethodDescriptor, schemas: &mut Schemas) -> Vec<Value> {
    let input = method.input();
    let in_path = fields::in_braces(route.path);
    let mut all: Vec<_> = in_path
        .iter()
        .map(|name| {
            let field = fields::of_path(&input, name).expect("a test reads the table");
            json!({
                "name": name, "in": "path", "required": true,
                "schema": schemas.of_one(&field), "description": comments::of_field(&field),
            })
        })
        .collect();
    if route.body == Body::None {
        all.extend(of_query(&input, &in_path, schemas));
    }
    all.extend(of_headers(method));
    all
}

/// The fields that have no place in the path, those of a filter among them.
fn of_query(input: &MessageDescriptor, in_path: &[&str], schemas: &mut Schemas) -> Vec<Value> {
    let filter = input.get_field_by_name("filter").as_ref().and_then(fields::inner);
    let own = input.fields().filter(|field| !in_path.contains(&field.name()));
    let all: Vec<_> = own.chain(filter.iter().flat_map(|filter| filter.fields().collect::<Vec<_>>())).collect();
    let usable = all.into_iter().filter(query::is_value).filter(|field| !PLACES.contains(&field.name()));
    usable
        .map(|field| {
            let description = comments::of_field(&field);
            json!({"name": field.name(), "in": "query", "schema": schemas.of(&field), "description": description})
        })
        .collect()
}

/// What Last-Event-ID says on routes of events.
const PLACES: [&str; 2] = ["after_version", "resume_token"];

fn of_headers(method: &MethodDescriptor) -> Vec<Value> {
    let has = |name: &str| method.input().get_field_by_name(name).is_some();
    let header = |name: &str, description: &str| json!({"name": name, "in": "header", "schema": {"type": "string"}, "description": description});
    let mut all = Vec::new();
    if has("request_id") || has("requests") {
        all.push(header(
            "Idempotency-Key",
            "Makes the request safe to repeat: a UUID, which becomes the request_id, or another text of up to 255 characters.",
        ));
    }
    if has("expected_version") {
        all.push(header("If-Match", "Apply only while the order has this version: the ETag, such as \"7\" in quotes."));
    }
    if method.is_server_streaming() && method.name() != "WatchCourier" {
        all.push(header(
            "Last-Event-ID",
            "Go on after the event with this id. The parameter last_event_id says the same.",
        ));
    }
    all
}

fn body(route: &Route, input: &MessageDescriptor, schemas: &mut Schemas) -> Option<Value> {
    let schema = match route.body {
        Body::None => return None,
        Body::Whole => schemas.reference(input),
        Body::Field(name) => schemas.of_one(&input.get_field_by_name(name)?),
    };
    Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}))
}

fn responses(route: &Route, method: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    let mut responses = json!({"4XX": failure(), "5XX": failure()});
    if method.is_server_streaming() {
        let schema = schemas.reference(&method.output());
        responses["200"] = json!({
            "description": EVENTS,
            "content": {"text/event-stream": {"schema": {"type": "string", "description": "Events whose data are of this message."}}},
            "x-comanda-message": schema,
        });
        responses["204"] =
            json!({"description": "The order has ended, and the caller has seen it: do not come again."});
        return responses;
    }
    let content = json!({"application/json": {"schema": schemas.reference(&method.output())}});
    let described = |text: &str| json!({"description": text, "content": content, "headers": headers(method)});
    if route.location.is_some() {
        responses["201"] = described("Done now. Location says where it is.");
        responses["200"] = described("Done before, by a request with the same Idempotency-Key.");
    } else {
        responses["200"] = described("The response.");
    }
    responses
}

const EVENTS: &str = "Events, named after what they carry. `id` is where to go on. `problem`: the stream ends, come again after `retry`. \
    `reset`: what was shown before does not count, a snapshot follows. `end`: the order has ended.";

fn headers(method: &MethodDescriptor) -> Value {
    let output = method.output();
    let mut headers = json!({});
    let has_version = ["order", "transition"].iter().any(|name| output.get_field_by_name(name).is_some());
    if has_version {
        headers["ETag"] = json!({"schema": {"type": "string"}, "description": "The version of the order, in quotes."});
    }
    if output.get_field_by_name("replayed").is_some() {
        let description = "true where the request had been applied before.";
        headers["Idempotency-Replayed"] = json!({"schema": {"type": "string"}, "description": description});
    }
    headers
}

/// The response of a request that failed.
pub fn failure() -> Value {
    json!({
        "description": "An error.",
        "content": {"application/problem+json": {"schema": schemas::reference_to("Problem")}},
    })
}
