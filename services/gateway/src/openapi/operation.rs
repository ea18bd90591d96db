//! One route as an operation.

use prost_reflect::{MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::{
    comments, parameters,
    schemas::{self, Schemas},
};
use crate::{
    fields,
    table::{Body, Route},
};

/// The path of a route as the document has it: many tools take a dot in a name for something else.
pub fn path(route: &Route) -> String {
    fields::fill(route.path, |name| Some(format!("{{{}}}", parameters::last(name))))
        .expect("every name has a last part")
}

/// The operation of a route. `uses` is how many routes of the same rpc come before.
pub fn operation(route: &Route, method: &MethodDescriptor, uses: usize, schemas: &mut Schemas) -> Value {
    let description = comments::of_method(method);
    let summary = description.split_once(". ").map_or(&*description, |(first, _)| first);
    let mut operation = json!({
        "operationId": id(route, method, uses),
        "tags": [method.parent_service().name()],
        "summary": format!("{}.", summary.lines().next().unwrap_or_default().trim_end_matches('.')),
        "description": description,
        "parameters": parameters::of_route(route, method, schemas),
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
        responses["201"] = described("Done now.");
        responses["201"]["headers"]["Location"] = header(json!({"type": "string"}), "Where it is.");
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
        headers["ETag"] = header(json!({"type": "string"}), "The version of the order, in quotes.");
    }
    if output.get_field_by_name("replayed").is_some() {
        let description = "true where the request had been applied before.";
        headers["Idempotency-Replayed"] = header(json!({"type": "string"}), description);
    }
    headers
}

/// A header of a response.
pub fn header(schema: Value, description: &str) -> Value {
    json!({"schema": schema, "description": description})
}

/// The response of a request that failed.
pub fn failure() -> Value {
    json!({"$ref": "#/components/responses/Problem"})
}

/// What `failure` refers to.
pub fn problem() -> Value {
    json!({
        "description": "An error.",
        "headers": {"Retry-After": header(json!({"type": "integer"}), "After how many seconds repeating may help.")},
        "content": {"application/problem+json": {"schema": schemas::reference_to("Problem")}},
    })
}
